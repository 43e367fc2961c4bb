package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/echobun/echobun"
)

// recoverEvery is how long a transaction that was prepared before a crash
// holds its locks at most, once a process runs again.
const recoverEvery = time.Minute

// recoverPrepared finishes what a crash has left prepared, now and every
// minute until ctx is done. The channel is closed after that.
func recoverPrepared(ctx context.Context, ext *echobun.Extension) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(recoverEvery)
		defer tick.Stop()
		for {
			report, err := ext.RecoverPrepared(ctx)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				slog.Warn("recovery is incomplete", "report", report, "err", err)
			case report.String() != "recovered: nothing":
				slog.Info("two-phase commits", "report", report)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return done
}
