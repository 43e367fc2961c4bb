package echobun_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// sqliteBank is newBank on three SQLite databases.
func sqliteBank(tb testing.TB) (*echobun.Extension, context.Context, *echobun.Session) {
	tb.Helper()
	x := newExtension(tb, echobun.Config{
		DatabaseURI: sqliteURL(tb), Binds: echobun.Binds{"auth": {URL: sqliteURL(tb)}, "meta": {URL: sqliteURL(tb)}},
		Logger: slog.New(slog.DiscardHandler),
	}, txModels()...)
	ctx, s := newSession(tb, x)
	require.NoError(tb, x.CreateAll(ctx))
	return x, ctx, s
}

func TestTxIsLazy(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	require.NoError(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		for key, db := range x.Engines() {
			require.Zero(t, db.Stats().InUse, key)
		}
		_, err := tx.NewInsert().Model(&Credit{Name: "only"}).Exec(ctx)
		require.NoError(t, err)
		require.Equal(t, 1, x.Engines()["auth"].Stats().InUse)
		require.Zero(t, x.Engine().Stats().InUse+x.Engines()["meta"].Stats().InUse)
		return nil
	}))
	requireNamed(t, x, "only", 0, 1, 0)
}

var txTable = &echobun.Table{Name: "tx_rows", BindKey: "auth", Columns: []echobun.Column{
	{Name: "id", Type: echobun.Integer, PrimaryKey: true}, {Name: "n", Type: echobun.Integer},
}}

// hookedRow inserts a note of itself with the query that its hook is given.
type hookedRow struct {
	bun.BaseModel `bun:"table:hooked_rows"`

	ID int64 `bun:",pk"`
}

var _ bun.AfterInsertHook = (*hookedRow)(nil)

func (*hookedRow) AfterInsert(ctx context.Context, query *bun.InsertQuery) error {
	_, err := query.NewInsert().Model(&Debit{Name: "by hook"}).Exec(ctx)
	return err
}

// Everything that is reached through the session is inside: all of it is gone
// after a rollback.
func TestTxHasEverything(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	require.NoError(t, x.Register(txTable, (*hookedRow)(nil)))
	require.NoError(t, x.CreateAll(ctx))
	err := s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		require.NoError(t, insertAll(ctx, tx, "first"))
		_, err := tx.NewInsert().Table(txTable).Model(&map[string]any{"id": 1, "n": 2}).Exec(ctx)
		require.NoError(t, err)
		_, err = tx.NewRaw("INSERT INTO debits (name) VALUES ('raw')").Exec(ctx)
		require.NoError(t, err)
		_, err = tx.Bind("auth").NewRaw("INSERT INTO credits (name) VALUES ('raw')").Exec(ctx)
		require.NoError(t, err)
		_, err = tx.For((*Note)(nil)).ExecContext(ctx, "INSERT INTO notes (name) VALUES (?)", "raw")
		require.NoError(t, err)
		_, err = tx.NewInsert().Model(&hookedRow{ID: 1}).Exec(ctx)
		require.NoError(t, err)
		_, err = tx.NewUpdate().Model((*Debit)(nil)).Set("name = ?", "second").Where("name = ?", "first").Exec(ctx)
		require.NoError(t, err)
		_, err = tx.NewDelete().Model((*Credit)(nil)).Where("name = ?", "first").Exec(ctx)
		require.NoError(t, err)
		var n int
		require.NoError(t, tx.Bind("auth").QueryRowContext(ctx, "SELECT count(*) FROM tx_rows").Scan(&n))
		require.Equal(t, 1, n)
		rows, err := tx.Bind("").QueryContext(ctx, "SELECT name FROM debits WHERE name IN (?) ORDER BY name", bun.List([]string{"by hook", "raw", "second"}))
		require.NoError(t, err)
		var names []string
		for rows.Next() {
			var name string
			require.NoError(t, rows.Scan(&name))
			names = append(names, name)
		}
		require.NoError(t, errors.Join(rows.Err(), rows.Close())) //nolint:sqlclosecheck // Before what follows.
		require.Equal(t, []string{"by hook", "raw", "second"}, names)
		require.NoError(t, tx.Bind("auth").RunInTx(ctx, nil, func(ctx context.Context, btx bun.Tx) error {
			_, err := btx.NewInsert().Model(&Credit{Name: "in Bun's"}).Exec(ctx)
			return err
		}))
		btx, err := tx.Bind("meta").BeginTx(ctx, nil)
		require.NoError(t, err)
		_, err = btx.NewInsert().Model(&Note{Name: "in Bun's"}).Exec(ctx)
		require.NoError(t, err)
		require.NoError(t, btx.Commit())
		_, err = tx.Bind("meta").BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		require.Error(t, err, "a savepoint cannot be read-only")
		return errOfFn
	})
	require.Same(t, errOfFn, err)
	requireAtRest(t, x)
	for key, table := range map[string]string{"": "debits", "auth": "credits", "meta": "notes"} {
		var n int
		require.NoError(t, s.Bind(key).NewRaw("SELECT count(*) FROM "+table).Scan(ctx, &n))
		require.Zero(t, n, table)
	}
}

func TestTxRefusesThePlainSession(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	require.NoError(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		for name, try := range map[string]func() error{
			"insert":      func() error { _, err := s.NewInsert().Model(&Credit{Name: "x"}).Exec(ctx); return err },
			"scan":        func() error { return s.NewSelect().Model(&[]Credit{}).Scan(ctx) },
			"row":         func() error { return s.Bind("auth").QueryRowContext(ctx, "SELECT 1").Scan(new(int)) },
			"BeginTx":     func() error { _, err := s.Bind("auth").BeginTx(ctx, nil); return err },
			"Bun's":       func() error { return s.Bind("auth").RunInTx(ctx, nil, nil) },
			"transaction": func() error { return s.RunInTx(ctx, nil, nil) },
			"begin":       func() error { _, err := s.Begin(ctx, nil); return err },
		} {
			err := try()
			require.ErrorIs(t, err, echobun.ErrOutsideTx, name)
			if name != "transaction" && name != "begin" {
				require.ErrorContains(t, err, `bind "auth"`, name)
			}
		}
		// A job in an app context of its own is in no transaction.
		jobCtx, end := x.AppContext(context.WithoutCancel(ctx))
		defer end()
		job, err := x.Session(jobCtx)
		require.NoError(t, err)
		require.False(t, job.InTx())
		_, err = job.NewInsert().Model(&Credit{Name: "job"}).Exec(jobCtx)
		require.NoError(t, err)
		return insertAll(ctx, tx, "inside")
	}))
	requireNamed(t, x, "job", 0, 1, 0)
	requireNamed(t, x, "inside", 1, 1, 1)
}

// On all databases: a failure that was swallowed still dooms.
func TestTxIsDoomedByAFailure(t *testing.T) {
	t.Parallel()
	failures := map[string]func(ctx context.Context, tx *echobun.Session) error{
		"unique": func(ctx context.Context, tx *echobun.Session) error {
			_, err := tx.NewInsert().Model(&Debit{Name: "there"}).Exec(ctx)
			return err
		},
		"syntax": func(ctx context.Context, tx *echobun.Session) error {
			_, err := tx.NewRaw("SELEC").Exec(ctx)
			return err
		},
		"row": func(ctx context.Context, tx *echobun.Session) error {
			return tx.NewRaw("SELECT no FROM such").Scan(ctx, new(int))
		},
		"context": func(ctx context.Context, tx *echobun.Session) error {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			_, err := tx.NewInsert().Model(&Debit{Name: "cancelled"}).Exec(ctx)
			return err
		},
	}
	perDatabase(t, []any{(*Debit)(nil)}, func(t *testing.T, x *echobun.Extension) {
		ctx, s := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		_, err := s.NewInsert().Model(&Debit{Name: "there"}).Exec(ctx)
		require.NoError(t, err)
		for name, fail := range failures {
			var cause error
			err := s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
				_, err := tx.NewInsert().Model(&Debit{Name: name}).Exec(ctx)
				require.NoError(t, err)
				cause = fail(ctx, tx)
				require.Error(t, cause)
				_, err = tx.NewInsert().Model(&Debit{Name: name + " later"}).Exec(ctx)
				require.ErrorIs(t, err, echobun.ErrTxDoomed)
				require.ErrorIs(t, tx.RunInTx(ctx, nil, nil), echobun.ErrTxDoomed)
				return nil
			})
			require.ErrorIs(t, err, echobun.ErrTxDoomed, name)
			require.ErrorContains(t, err, cause.Error(), name)
			n, err := s.NewSelect().Model((*Debit)(nil)).Where("name LIKE ?", name+"%").Count(ctx)
			require.NoError(t, err)
			require.Zero(t, n, name)
		}
		requireAtRest(t, x)
	})
}

// A failure that comes while rows are read dooms too.
func TestTxIsDoomedByARow(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	err := s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		rows, err := tx.Bind("").QueryContext(ctx, "SELECT 1/(3-n) FROM generate_series(1,5) n")
		if err == nil {
			for rows.Next() {
			}
			require.Error(t, errors.Join(rows.Err(), rows.Close())) //nolint:sqlclosecheck // Before what follows.
		}
		require.ErrorIs(t, insertAll(ctx, tx, "later"), echobun.ErrTxDoomed)
		return nil
	})
	require.ErrorIs(t, err, echobun.ErrTxDoomed)
	requireNamed(t, x, "later", 0, 0, 0)
}

// However fn leaves, everything is rolled back when RunInTx is over.
func TestTxRollsBackHoweverItEnds(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	for name, leave := range map[string]func(cancel context.CancelFunc) error{
		"error":     func(context.CancelFunc) error { return errOfFn },
		"panic":     func(context.CancelFunc) error { panic("leave") },
		"Goexit":    func(context.CancelFunc) error { runtime.Goexit(); return nil },
		"cancelled": func(cancel context.CancelFunc) error { cancel(); return nil },
	} {
		for _, nested := range []bool{false, true} {
			var gone sync.WaitGroup
			gone.Go(func() {
				defer func() { _ = recover() }()
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				_ = s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
					if err := insertAll(ctx, tx, name); err != nil {
						t.Error(err)
					}
					if !nested {
						return leave(cancel)
					}
					return tx.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
						if err := insertAll(ctx, tx, name+" nested"); err != nil {
							t.Error(err)
						}
						return leave(cancel)
					})
				})
			})
			gone.Wait()
			requireAtRest(t, x)
			requireNamed(t, x, name, 0, 0, 0)
			requireNamed(t, x, name+" nested", 0, 0, 0)
		}
	}
}

func TestTxEndsWithItsAppContext(t *testing.T) {
	t.Parallel()
	x, _, _ := newBank(t)
	ctx, end := x.AppContext(context.WithoutCancel(t.Context()))
	s, err := x.Session(ctx)
	require.NoError(t, err)
	tx, err := s.Begin(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, insertAll(ctx, tx, "left open"))
	end()
	require.ErrorIs(t, tx.Commit(ctx), echobun.ErrAppContextEnded)
	require.NoError(t, tx.Rollback(ctx))
	require.Eventually(t, func() bool {
		for _, db := range x.Engines() {
			if db.Stats().InUse > 0 {
				return false
			}
		}
		return true
	}, 5*time.Second, time.Millisecond)
	requireNamed(t, x, "left open", 0, 0, 0)
}

// commits are the binds that have committed, in order.
type commits struct {
	mu   sync.Mutex // Protects keys.
	keys []string
}

func TestTxOptionsErrors(t *testing.T) {
	t.Parallel()
	x, ctx, s := sqliteBank(t)
	for field, opts := range map[string]*echobun.TxOptions{
		"Isolation": {Isolation: 99}, "Retries": {Retries: -1}, "CommitTimeout": {CommitTimeout: -1}, "Order": {Order: []string{"auth", "auth"}},
	} {
		var wrong *echobun.ConfigError
		require.ErrorAs(t, s.RunInTx(ctx, opts, nil), &wrong)
		require.Equal(t, "TxOptions."+field, wrong.Field)
	}
	var unknown *echobun.UnknownBindError
	require.ErrorAs(t, s.RunInTx(ctx, &echobun.TxOptions{Order: []string{"no"}}, nil), &unknown)
	_, err := s.Begin(ctx, &echobun.TxOptions{Retries: 1})
	require.ErrorContains(t, err, "Retries")

	outer := &echobun.TxOptions{Isolation: sql.LevelSerializable, Order: []string{"auth"}, CommitTimeout: time.Second}
	require.NoError(t, s.RunInTx(ctx, outer, func(ctx context.Context, tx *echobun.Session) error {
		for field, opts := range map[string]*echobun.TxOptions{
			"Isolation": {Isolation: sql.LevelReadCommitted}, "ReadOnly": {ReadOnly: true}, "Order": {Order: []string{"meta"}},
			"TwoPhase": {TwoPhase: true}, "Retries": {Retries: 1}, "CommitTimeout": {CommitTimeout: time.Minute},
		} {
			require.ErrorContains(t, tx.RunInTx(ctx, opts, nil), "TxOptions."+field)
		}
		return tx.RunInTx(ctx, outer, func(ctx context.Context, tx *echobun.Session) error { return insertAll(ctx, tx, "same options") })
	}))
	requireNamed(t, x, "same options", 1, 1, 1)

	err = s.RunInTx(ctx, &echobun.TxOptions{ReadOnly: true}, func(ctx context.Context, tx *echobun.Session) error {
		return insertAll(ctx, tx, "read only")
	})
	require.ErrorIs(t, err, echobun.ErrReadOnly)
}

type valueKey struct{}

// An engine of the application's own takes part as it is.
func TestTxOnAnEngineOfOnesOwn(t *testing.T) {
	t.Parallel()
	own, _, _ := sqliteBank(t)
	x := newExtension(t, echobun.Config{
		DatabaseURI: sqliteURL(t), Binds: echobun.Binds{"auth": {DB: own.Engines()["auth"]}, "meta": {URL: sqliteURL(t)}},
	}, txModels()...)
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	require.NoError(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		require.NoError(t, insertAll(ctx, tx, "kept"))
		err := tx.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			require.NoError(t, insertAll(ctx, tx, "nested"))
			_, err := tx.NewInsert().Model(&Credit{Name: "kept"}).Exec(ctx)
			return err
		})
		require.ErrorIs(t, err, echobun.ErrUnique)
		return nil
	}))
	require.Error(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		require.NoError(t, insertAll(ctx, tx, "gone"))
		return errOfFn
	}))
	requireAtRest(t, x)
	requireNamed(t, x, "kept", 1, 1, 1)
	requireNamed(t, x, "nested", 0, 0, 0)
	requireNamed(t, x, "gone", 0, 0, 0)
}
