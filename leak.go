package echobun

import (
	"context"
	"log/slog"
	"time"
)

// suspect logs, once, what was opened here if it is not closed before
// LeakThreshold is over. Closing it is to stop the timer, which is nil without
// a threshold.
func (e *engine) suspect(what string) *time.Timer {
	x := e.metadata.x
	if x.leakThreshold <= 0 {
		return nil
	}
	opened := caller()
	return time.AfterFunc(x.leakThreshold, func() { x.logLeak(what, opened, []string{e.key}) })
}

// cleared says that what was suspected has been closed.
func cleared(suspect *time.Timer) {
	if suspect != nil {
		suspect.Stop()
	}
}

func (x *Extension) logLeak(what, opened string, binds []string) {
	x.logger.LogAttrs(context.Background(), slog.LevelWarn, "echobun: "+what+" is still open",
		slog.Any("binds", binds), slog.String("opened", opened), slog.Duration("threshold", x.leakThreshold))
}

// watchLeak suspects the transaction, over all binds, of a leak. It needs ending.
func (t *transaction) watchLeak() {
	x := t.app.x
	if x.leakThreshold <= 0 {
		return
	}
	t.mu.Lock()
	t.opened = caller()
	t.mu.Unlock()
	t.suspect = time.AfterFunc(x.leakThreshold, func() {
		t.mu.Lock()
		opened, binds := t.opened, keysOf(t.branches)
		t.mu.Unlock()
		if len(binds) > 0 { // Else it holds nothing.
			x.logLeak("transaction", opened, binds)
		}
	})
}

// openedBy makes the line of a first statement the one that has opened the
// transaction of an atomic request, which no line of the application begins.
// It needs mu.
func (t *transaction) openedBy() {
	if t.opened == "" && t.app.x.leakThreshold > 0 {
		t.opened = caller()
	}
}
