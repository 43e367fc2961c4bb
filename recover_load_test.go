package echobun_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/cutproxy"
	"github.com/echobun/echobun/internal/dbtest"
)

// Beside many clients whose transactions go well, recovery finds nothing to
// do, nothing to warn of, and the time for it: what is being committed is no
// fault, and SQLite has others wait until it is their turn to write.
func TestRecoverBesideManyTransactions(t *testing.T) {
	t.Parallel()
	for name, dsn := range map[string]string{"PostgreSQL": dbtest.Postgres(t).URL(), "MariaDB": dbtest.MariaDB(t).URL()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out lockedBuffer
			x := newExtension(t, echobun.Config{
				DatabaseURI: dsn, AppName: "busy" + name, Binds: echobun.Binds{"auth": {URL: sqliteURL(t) + "?synchronous=FULL"}},
				Defaults: echobun.EngineOptions{MaxOpenConns: 40}, Logger: slog.New(slog.NewTextHandler(&out, nil)),
			}, (*Debit)(nil), (*Credit)(nil))
			ctx, _ := newSession(t, x)
			require.NoError(t, x.CreateAll(ctx))

			open := time.Duration(times(3, 12)) * time.Second
			closing, stop := context.WithTimeout(ctx, open)
			defer stop()
			var (
				clients sync.WaitGroup
				done    atomic.Int64
			)
			for client := range 64 {
				_, s := newSession(t, x)
				clients.Go(func() {
					for i := 0; closing.Err() == nil; i++ {
						if transact(ctx, s, inTwoPhases, fmt.Sprintf("%d of %d", i, client)) == nil {
							done.Add(1)
						}
					}
				})
			}
			recoveries := 0
			for ; closing.Err() == nil; recoveries++ {
				start := time.Now()
				report, err := x.RecoverPrepared(ctx)
				require.NoError(t, err)
				require.Equal(t, "recovered: nothing", report.String())
				require.Less(t, time.Since(start), 25*time.Second)
				time.Sleep(200 * time.Millisecond)
			}
			clients.Wait()
			require.Empty(t, out.String())
			require.Greater(t, done.Load(), int64(64))
			t.Logf("%d transactions, %d recoveries", done.Load(), recoveries)
			requireAtRest(t, x)
		})
	}
}

// A transaction that is between its decision and the last of its commits is no
// leftover yet.
func TestRecoverLeavesARunningTransactionAlone(t *testing.T) {
	t.Parallel()
	for bind, statement := range map[string]string{"": "COMMIT PREPARED", "auth": "XA COMMIT"} {
		t.Run(statement, func(t *testing.T) {
			t.Parallel()
			var out lockedBuffer
			cfg := threeDatabases(t)
			plain := cfg
			plain.Logger = slog.New(slog.NewTextHandler(&out, nil))
			slow := &slowHook{statement: statement, reached: make(chan struct{})}
			x := newExtension(t, withHook(cfg, bind, slow), txModels()...)
			ctx, s := newSession(t, x)
			require.NoError(t, x.CreateAll(ctx))
			answer := make(chan error, 1)
			go func() {
				answer <- s.RunInTx(ctx, inTwoPhases, func(ctx context.Context, tx *echobun.Session) error { return insertAll(ctx, tx, "slow") })
			}()
			<-slow.reached
			report, err := newExtension(t, plain).RecoverPrepared(ctx)
			require.NoError(t, err)
			require.Equal(t, "recovered: nothing", report.String())
			require.NoError(t, <-answer)
			require.Empty(t, out.String())
			requireNamed(t, x, "slow", 1, 1, 1)
		})
	}
}

// withHook returns a configuration with a hook on one bind.
func withHook(cfg echobun.Config, bind string, hook bun.QueryHook) echobun.Config {
	if bind == echobun.DefaultBind {
		cfg.EngineOptions.Hooks = []bun.QueryHook{hook}
		return cfg
	}
	cfg.Binds = maps.Clone(cfg.Binds)
	opts := cfg.Binds[bind]
	opts.Hooks = []bun.QueryHook{hook}
	cfg.Binds[bind] = opts
	return cfg
}

// A slowHook takes its time before a statement, and says that it does.
type slowHook struct {
	statement string
	reached   chan struct{}
}

func (h *slowHook) BeforeQuery(ctx context.Context, event *bun.QueryEvent) context.Context {
	if strings.HasPrefix(event.Query, h.statement) {
		close(h.reached)
		time.Sleep(150 * time.Millisecond)
	}
	return ctx
}

func (h *slowHook) AfterQuery(context.Context, *bun.QueryEvent) {}

// A recovery that has the time waits for SQLite as long as that takes.
func TestRecoverWaitsAsLongAsItMay(t *testing.T) {
	t.Parallel()
	cfg := threeDatabases(t)
	cfg.AppName = "mine" // Of what is prepared by hand.
	x := newExtension(t, cfg, txModels()...)
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	require.NoError(t, s.RunInTx(ctx, inTwoPhases, func(ctx context.Context, tx *echobun.Session) error { return insertAll(ctx, tx, "x") }))
	prepareByHand(t, x, "echobun/mine/"+echobun.NewTxID()+"/"+x.LogHome("meta")+"/~", "undecided")

	tx, err := x.Engines()["meta"].BeginTx(ctx, nil) // It keeps others from writing.
	require.NoError(t, err)
	time.AfterFunc(2500*time.Millisecond, func() { _ = tx.Rollback() })
	report, err := x.RecoverPrepared(ctx)
	require.NoError(t, err)
	require.Equal(t, "recovered: default bind: 0 committed, 1 rolled back, 0 in doubt", report.String())
}

// Recovery obeys its context, though a server does not answer.
func TestRecoverObeysItsContext(t *testing.T) {
	t.Parallel()
	b := newCutBank(t)
	ctx, s := newSession(t, b.x)
	connect(ctx, t, s)
	for _, p := range b.proxies {
		p.ArmN(-1, cutproxy.HangReply, "echobun_commits")
	}
	for _, limit := range []time.Duration{300 * time.Millisecond, 2 * time.Second} {
		ctx, cancel := context.WithTimeout(ctx, limit)
		start := time.Now()
		_, err := b.x.RecoverPrepared(ctx)
		cancel()
		require.Less(t, time.Since(start), limit+time.Second)
		require.ErrorIs(t, err, echobun.ErrUnavailable)
	}
	requireAtRest(t, b.x)
}

// A lockedBuffer may be written to by several goroutines.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
