package echobun_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// hooked records on which bind each of Bun's model hooks ran, and reads from
// its own table within them.
type hooked struct {
	bun.BaseModel `bun:"table:hooked"`
	authModel

	ID   int64 `bun:",pk,autoincrement"`
	Name string
	Seen int64 `bun:"-"`
}

type hookCalls struct{}

func calls(ctx context.Context) *[]string {
	all, _ := ctx.Value(hookCalls{}).(*[]string)
	return all
}

var (
	_ bun.BeforeAppendModelHook = (*hooked)(nil)
	_ bun.BeforeInsertHook      = (*hooked)(nil)
	_ bun.AfterInsertHook       = (*hooked)(nil)
	_ bun.BeforeSelectHook      = (*hooked)(nil)
	_ bun.AfterScanRowHook      = (*hooked)(nil)
	_ bun.BeforeDeleteHook      = (*hooked)(nil)
)

func (m *hooked) BeforeAppendModel(ctx context.Context, query bun.Query) error {
	if _, ok := query.(*bun.InsertQuery); ok {
		m.Name += "!"
		*calls(ctx) = append(*calls(ctx), "before append")
	}
	return nil
}

func (*hooked) BeforeInsert(ctx context.Context, query *bun.InsertQuery) error {
	n, err := query.NewSelect().TableExpr("hooked").Count(ctx)
	if n == 0 && err == nil {
		*calls(ctx) = append(*calls(ctx), "before insert")
	}
	return err
}

func (*hooked) AfterInsert(ctx context.Context, query *bun.InsertQuery) error {
	n, err := query.NewSelect().TableExpr("hooked").Count(ctx)
	if n == 1 && err == nil {
		*calls(ctx) = append(*calls(ctx), "after insert")
	}
	return err
}

func (*hooked) BeforeSelect(ctx context.Context, _ *bun.SelectQuery) error {
	*calls(ctx) = append(*calls(ctx), "before select")
	return nil
}

func (m *hooked) AfterScanRow(ctx context.Context) error {
	*calls(ctx) = append(*calls(ctx), "after scan")
	m.Seen = m.ID
	return nil
}

func (*hooked) BeforeDelete(context.Context, *bun.DeleteQuery) error { return errHook }

var errHook = context.DeadlineExceeded

func TestModelHooks(t *testing.T) {
	t.Parallel()
	cfg, hooks := sqliteBinds(t, "auth")
	x := newExtension(t, cfg, (*hooked)(nil))
	ctx, db := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	hooks["auth"].take()
	var called []string
	ctx = context.WithValue(ctx, hookCalls{}, &called)

	_, err := db.NewInsert().Model(&hooked{Name: "a"}).Exec(ctx)
	require.NoError(t, err)
	// SQLite returns the id as a row.
	require.Equal(t, []string{"before insert", "before append", "after scan", "after insert"}, called)
	require.Len(t, hooks["auth"].take(), 3, "the insert and the queries of its two hooks, each once")

	called = nil
	var found hooked
	require.NoError(t, db.NewSelect().Model(&found).Scan(ctx))
	require.Equal(t, "a!", found.Name)
	require.Equal(t, found.ID, found.Seen)
	require.Equal(t, []string{"before select", "after scan"}, called)
	require.Len(t, hooks["auth"].take(), 1)

	_, err = db.NewDelete().Model(&found).WherePK().Exec(ctx)
	require.ErrorIs(t, err, errHook)
	require.Empty(t, hooks["auth"].take(), "a hook that fails keeps its statement back")
	require.Empty(t, hooks[""].take())
}

// TestQueryHooksOnce asserts that the hooks of EngineOptions see a statement once,
// whichever way it takes.
func TestQueryHooksOnce(t *testing.T) {
	t.Parallel()
	cfg, hooks := sqliteBinds(t)
	x := newExtension(t, cfg, (*book)(nil))
	ctx, db := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	idb := db.Bind(echobun.DefaultBind)

	var n int
	for name, run := range map[string]func() error{
		"select":    func() error { return db.NewSelect().Model((*book)(nil)).ColumnExpr("1").Scan(ctx, &n) },
		"exists":    func() error { _, err := db.NewSelect().Model((*book)(nil)).Exists(ctx); return err },
		"insert":    func() error { _, err := db.NewInsert().Model(&book{Title: "x"}).Exec(ctx); return err },
		"raw":       func() error { return db.NewRaw("SELECT 1").Scan(ctx, &n) },
		"exec":      func() error { _, err := idb.ExecContext(ctx, "SELECT 1"); return err },
		"query row": func() error { return idb.QueryRowContext(ctx, "SELECT 1").Scan(&n) },
		"by hand":   func() error { return idb.NewSelect().ColumnExpr("1").Scan(ctx, &n) },
	} {
		hooks[""].take()
		_ = run()
		require.Len(t, hooks[""].take(), 1, name)
	}

	hooks[""].take()
	require.NoError(t, idb.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		return tx.NewSelect().ColumnExpr("1").Scan(ctx, &n)
	}))
	require.Equal(t, []string{"BEGIN", "SELECT 1", "COMMIT"}, hooks[""].take())
}
