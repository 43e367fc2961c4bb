package echobun_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// What is recorded and logged of a two-phase transaction is what was sent: a
// PREPARE is no COMMIT, and what commits the prepared is there on every
// database, with its session and its line.
func TestQueriesOfTwoPhaseSayWhatWasSent(t *testing.T) {
	t.Parallel()
	var out lockedBuffer
	cfg := threeDatabases(t)
	cfg.RecordQueries, cfg.LogStatements, cfg.Logger = true, true, slog.New(slog.NewTextHandler(&out, nil))
	x, ctx, before := recording(t, cfg)
	all := func(ctx context.Context, tx *echobun.Session) error { return insertAll(ctx, tx, "x"+rand.Text()) }
	require.NoError(t, before.RunInTx(ctx, inTwoPhases, all)) // Looks whether the servers can.
	_, s := newSession(t, x)
	require.NoError(t, s.RunInTx(ctx, inTwoPhases, all))
	texts := map[string][]string{}
	records, _ := s.Queries()
	for _, r := range records {
		texts[r.Bind] = append(texts[r.Bind], r.Op+": "+r.Template)
		require.Regexp(t, `_test\.go:\d+$`, r.Caller, "%s", r.Template)
		require.NotContains(t, r.Template, cfg.AppName)
	}
	require.Equal(t, []string{"PREPARE: PREPARE TRANSACTION ?", "COMMIT: COMMIT PREPARED ?"}, texts[""][2:])
	require.Equal(t, []string{"PREPARE: XA PREPARE ?", "COMMIT: XA COMMIT ?"}, texts["auth"][2:])
	require.Contains(t, texts["meta"][2], "INSERT INTO echobun_commits", "with the decision")
	require.Equal(t, []string{"COMMIT: COMMIT"}, texts["meta"][3:])
	for _, logged := range []string{
		`bind="" op=PREPARE statement="PREPARE TRANSACTION ?"`, `bind="" op=COMMIT statement="COMMIT PREPARED ?"`,
		`bind=auth op=PREPARE statement="XA PREPARE ?"`, `bind=auth op=COMMIT statement="XA COMMIT ?"`,
	} {
		require.Equal(t, 2, strings.Count(out.String(), logged), logged)
	}
}

// The time of a statement is its own: what is sent before the first of a
// transaction, or of a nested one, has its own record.
func TestQueriesTimeStatementsAlone(t *testing.T) {
	t.Parallel()
	const pause = 30 * time.Millisecond
	cfg := recordedBinds(t)
	cfg.EngineOptions.Hooks = []bun.QueryHook{pauseHook{pause}}
	_, ctx, s := recording(t, cfg)
	start := time.Now()
	require.NoError(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		if err := ran(tx.NewInsert().Model(&Debit{Name: "a"}).Exec(ctx)); err != nil {
			return err
		}
		return tx.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			return ran(tx.NewInsert().Model(&Debit{Name: "b"}).Exec(ctx))
		})
	}))
	took := time.Since(start)
	records, _ := s.Queries()
	slices.SortFunc(records, func(a, b echobun.QueryRecord) int { return a.Start.Compare(b.Start) })
	var ops []string
	var sum time.Duration
	for i, r := range records {
		ops = append(ops, r.Op)
		sum += r.Duration
		if i > 0 {
			last := records[i-1]
			require.False(t, r.Start.Before(last.Start.Add(last.Duration)), "%s begins before %s has ended", r.Op, last.Op)
		}
	}
	require.Equal(t, []string{"BEGIN", "INSERT", "SAVEPOINT", "INSERT", "RELEASE SAVEPOINT", "COMMIT"}, ops)
	require.LessOrEqual(t, sum, took)
	require.GreaterOrEqual(t, records[0].Duration, pause)
}

// A pauseHook makes statements that begin something slow.
type pauseHook struct{ pause time.Duration }

func (h pauseHook) BeforeQuery(ctx context.Context, event *bun.QueryEvent) context.Context {
	if event.Query == "BEGIN" || strings.HasPrefix(event.Query, "SAVEPOINT") {
		time.Sleep(h.pause)
	}
	return ctx
}

func (h pauseHook) AfterQuery(context.Context, *bun.QueryEvent) {}
