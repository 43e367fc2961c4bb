package echobun_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
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

// Two transactions lock two rows in opposite orders: one is the victim, and
// its earlier rows are gone, so it must not go on.
func TestTxDeadlock(t *testing.T) {
	t.Parallel()
	perDatabase(t, []any{(*Debit)(nil)}, func(t *testing.T, x *echobun.Extension) {
		if x.Engine().Dialect().Name().String() == "sqlite" {
			return // It has one writer.
		}
		ctx, s := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		for _, name := range []string{"a", "b"} {
			_, err := s.NewInsert().Model(&Debit{Name: name}).Exec(ctx)
			require.NoError(t, err)
		}
		for _, retries := range []int{0, 5} {
			errs, attempts := deadlock(ctx, s, retries)
			if retries > 0 {
				require.NoError(t, errors.Join(errs...))
				require.Greater(t, attempts, 2)
				continue
			}
			failed := 0
			for _, err := range errs {
				if err != nil {
					failed++
					require.ErrorIs(t, err, echobun.ErrTxDoomed)
					require.ErrorIs(t, err, echobun.ErrSerialization)
				}
			}
			require.Equal(t, 1, failed)
		}
		requireAtRest(t, x)
	})
}

// deadlock runs two transactions that deadlock in their first attempt. Each
// swallows its failure.
func deadlock(ctx context.Context, s *echobun.Session, retries int) (errs []error, attempts int) {
	var (
		both sync.WaitGroup
		met  sync.WaitGroup
		mu   sync.Mutex
	)
	met.Add(2)
	errs = make([]error, 2)
	for i, names := range [][]string{{"a", "b"}, {"b", "a"}} {
		both.Go(func() {
			first := true
			errs[i] = s.RunInTx(ctx, &echobun.TxOptions{Retries: retries}, func(ctx context.Context, tx *echobun.Session) error {
				mu.Lock()
				attempts++
				mu.Unlock()
				for j, name := range names {
					_, err := tx.NewUpdate().Model((*Debit)(nil)).Set("name = name").Where("name = ?", name).Exec(ctx)
					if err != nil {
						return nil //nolint:nilerr // Swallowed.
					}
					if j == 0 && first {
						first = false
						met.Done()
						met.Wait()
					}
				}
				return nil
			})
		})
	}
	both.Wait()
	return errs, attempts
}

// A serialization failure that comes with COMMIT is retried too; one that the
// function hides behind an error of its own also.
func TestTxRetries(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	for _, name := range []string{"a", "b"} {
		_, err := s.NewInsert().Model(&Debit{Name: name}).Exec(ctx)
		require.NoError(t, err)
	}
	attempts, hooks := 0, 0
	opts := &echobun.TxOptions{Isolation: sql.LevelSerializable, Retries: 3}
	err := s.RunInTx(ctx, opts, func(ctx context.Context, tx *echobun.Session) error {
		attempts++
		tx.AfterCommit(func(context.Context) { hooks++ })
		if _, err := tx.NewSelect().Model((*Debit)(nil)).Where("name = 'a'").Count(ctx); err != nil {
			return err
		}
		if attempts == 1 { // Write skew: another one reads b and writes a.
			other, end := x.AppContext(context.WithoutCancel(ctx))
			defer end()
			os, err := x.Session(other)
			require.NoError(t, err)
			require.NoError(t, os.RunInTx(other, &echobun.TxOptions{Isolation: sql.LevelSerializable}, func(ctx context.Context, tx *echobun.Session) error {
				if _, err := tx.NewSelect().Model((*Debit)(nil)).Where("name = 'b'").Count(ctx); err != nil {
					return err
				}
				_, err := tx.NewUpdate().Model((*Debit)(nil)).Set("name = 'A'").Where("name = 'a'").Exec(ctx)
				return err
			}))
		}
		if _, err := tx.NewUpdate().Model((*Debit)(nil)).Set("name = 'B'").Where("name = 'b'").Exec(ctx); err != nil {
			return errors.New("hidden")
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, 2, attempts)
	require.Equal(t, 1, hooks, "those of the attempt that failed are dropped")

	attempts = 0
	err = s.RunInTx(ctx, &echobun.TxOptions{Retries: 3}, func(context.Context, *echobun.Session) error { attempts++; return errOfFn })
	require.Same(t, errOfFn, err)
	require.Equal(t, 1, attempts)

	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	start, attempts := time.Now(), 0
	err = s.RunInTx(short, &echobun.TxOptions{Retries: 1000}, func(context.Context, *echobun.Session) error {
		attempts++
		return fmt.Errorf("again: %w", echobun.ErrSerialization)
	})
	require.ErrorIs(t, err, echobun.ErrSerialization)
	require.Less(t, time.Since(start), time.Second)
	require.Greater(t, attempts, 2)

	for _, never := range []error{
		&echobun.CommitError{Err: echobun.ErrSerialization}, errors.Join(echobun.ErrSerialization, echobun.ErrOutcomeUnknown),
	} {
		attempts = 0
		require.Error(t, s.RunInTx(ctx, &echobun.TxOptions{Retries: 3}, func(context.Context, *echobun.Session) error { attempts++; return never }))
		require.Equal(t, 1, attempts)
	}
}

func TestTxRetriesSQLiteBusy(t *testing.T) {
	t.Parallel()
	url := sqliteURL(t)
	x := newExtension(t, echobun.Config{DatabaseURI: url + "?busy_timeout=20", Binds: echobun.Binds{"auth": {URL: url}}}, (*Debit)(nil))
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	lock, err := s.Bind("auth").BeginTx(ctx, nil)
	require.NoError(t, err)
	attempts := 0
	require.NoError(t, s.RunInTx(ctx, &echobun.TxOptions{Retries: 5}, func(ctx context.Context, tx *echobun.Session) error {
		if attempts++; attempts == 3 {
			require.NoError(t, lock.Rollback())
		}
		_, err := tx.NewInsert().Model(&Debit{Name: "x"}).Exec(ctx)
		return err
	}))
	require.Equal(t, 3, attempts)
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

// TestTxCommitOrder records the COMMITs.
func TestTxCommitOrder(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ order, want []string }{
		"first use": {nil, []string{"meta", "", "auth"}},
		"given":     {[]string{"auth", "meta", ""}, []string{"auth", "meta", ""}},
		"in part":   {[]string{"auth"}, []string{"auth", "meta", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec := &commits{}
			cfg := echobun.Config{DatabaseURI: sqliteURL(t), Binds: echobun.Binds{"auth": {URL: sqliteURL(t)}, "meta": {URL: sqliteURL(t)}}}
			cfg.EngineOptions.Hooks = []bun.QueryHook{&commitHook{rec, ""}}
			for key, o := range cfg.Binds {
				o.Hooks = []bun.QueryHook{&commitHook{rec, key}}
				cfg.Binds[key] = o
			}
			x := newExtension(t, cfg, txModels()...)
			ctx, s := newSession(t, x)
			require.NoError(t, x.CreateAll(ctx))
			rec.keys = nil
			require.NoError(t, s.RunInTx(ctx, &echobun.TxOptions{Order: tc.order}, func(ctx context.Context, tx *echobun.Session) error {
				if _, err := tx.NewInsert().Model(&Note{Name: "x"}).Exec(ctx); err != nil {
					return err
				}
				if _, err := tx.NewInsert().Model(&Debit{Name: "x"}).Exec(ctx); err != nil {
					return err
				}
				_, err := tx.NewInsert().Model(&Credit{Name: "x"}).Exec(ctx)
				return err
			}))
			require.Equal(t, tc.want, rec.keys)
		})
	}
}

// commits are the binds that have committed, in order.
type commits struct {
	mu   sync.Mutex // Protects keys.
	keys []string
}

type commitHook struct {
	rec *commits
	key string
}

func (h *commitHook) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (h *commitHook) AfterQuery(_ context.Context, event *bun.QueryEvent) {
	if event.Query == "COMMIT" {
		h.rec.mu.Lock()
		defer h.rec.mu.Unlock()
		h.rec.keys = append(h.rec.keys, h.key)
	}
}

// TestTxCommitError has the second of three commits refused by the database.
func TestTxCommitError(t *testing.T) {
	t.Parallel()
	x, ctx, s := sqliteBank(t)
	for _, ddl := range []string{
		"CREATE TABLE parents (id INTEGER PRIMARY KEY)",
		"CREATE TABLE orphans (id INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)",
	} {
		_, err := s.Bind("auth").NewRaw(ddl).Exec(ctx)
		require.NoError(t, err)
	}
	try := func(name string, order []string) error {
		return s.RunInTx(ctx, &echobun.TxOptions{Order: order}, func(ctx context.Context, tx *echobun.Session) error {
			tx.AfterCommit(func(context.Context) { t.Error("it has not committed") })
			if err := insertAll(ctx, tx, name); err != nil {
				return err
			}
			_, err := tx.Bind("auth").NewRaw("INSERT INTO orphans VALUES (1)").Exec(ctx)
			return err
		})
	}
	err := try("first", []string{"auth"})
	var partial *echobun.CommitError
	var refused *echobun.BindError
	require.False(t, errors.As(err, &partial), "%v", err)
	require.ErrorAs(t, err, &refused)
	require.Equal(t, []string{"auth", "COMMIT"}, []string{refused.Bind, refused.Op})
	requireNamed(t, x, "first", 0, 0, 0)

	err = try("later", nil)
	require.ErrorAs(t, err, &partial)
	require.ErrorIs(t, err, echobun.ErrForeignKey)
	require.Equal(t, []string{""}, partial.Committed)
	require.Equal(t, []string{"auth"}, partial.Failed)
	require.Equal(t, []string{"meta"}, partial.RolledBack)
	require.Empty(t, partial.Unknown)
	require.True(t, strings.HasPrefix(err.Error(), `echobun: commit is incomplete: committed: default bind; failed: bind "auth"; rolled back: bind "meta";`), "%v", err)
	requireNamed(t, x, "later", 1, 0, 0)
	requireAtRest(t, x)
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

func TestNestedTxHasItsOwnContext(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	require.NoError(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		inner, cancel := context.WithTimeout(context.WithValue(ctx, valueKey{}, "mine"), time.Minute)
		defer cancel()
		require.NoError(t, tx.RunInTx(inner, nil, func(ctx context.Context, nested *echobun.Session) error {
			require.Equal(t, "mine", ctx.Value(valueKey{}))
			_, ok := ctx.Deadline()
			require.True(t, ok)
			inCtx, err := x.Session(ctx)
			require.NoError(t, err)
			require.Same(t, nested, inCtx)
			require.ErrorIs(t, tx.RunInTx(ctx, nil, nil), echobun.ErrOutsideTx, "a second one beside it")
			return nil
		}))
		canceled, cancel := context.WithCancel(ctx)
		err := tx.RunInTx(canceled, nil, func(ctx context.Context, nested *echobun.Session) error {
			require.NoError(t, insertAll(ctx, nested, "cancelled"))
			cancel()
			_, err := nested.NewInsert().Model(&Debit{Name: "late"}).Exec(ctx)
			return err
		})
		require.ErrorIs(t, err, context.Canceled)
		return insertAll(ctx, tx, "outer")
	}))
	requireNamed(t, x, "cancelled", 0, 0, 0)
	requireNamed(t, x, "outer", 1, 1, 1)
}

func TestNestedTxIsDoomedAlone(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	require.NoError(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		require.NoError(t, insertAll(ctx, tx, "a"))
		for i := range 100 { // Savepoints do not pile up.
			err := tx.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
				if _, err := tx.NewInsert().Model(&Debit{Name: fmt.Sprint("b", i)}).Exec(ctx); err != nil {
					return err
				}
				_, _ = tx.NewInsert().Model(&Debit{Name: "a"}).Exec(ctx)
				return nil // It was swallowed.
			})
			require.ErrorIs(t, err, echobun.ErrTxDoomed)
			require.ErrorIs(t, err, echobun.ErrUnique)
		}
		require.NoError(t, tx.RunInTx(ctx, nil, func(ctx context.Context, second *echobun.Session) error {
			err := second.RunInTx(ctx, nil, func(ctx context.Context, third *echobun.Session) error {
				require.NoError(t, insertAll(ctx, third, "c"))
				return errOfFn
			})
			require.Same(t, errOfFn, err)
			return insertAll(ctx, second, "d")
		}))
		return nil
	}))
	requireNamed(t, x, "a", 1, 1, 1)
	requireNamed(t, x, "c", 0, 0, 0)
	requireNamed(t, x, "d", 1, 1, 1)
	requireNamed(t, x, "b0", 0, 0, 0)
}

func TestNestedTxLeftOpen(t *testing.T) {
	t.Parallel()
	x, ctx, s := sqliteBank(t)
	tx, err := s.Begin(ctx, nil)
	require.NoError(t, err)
	inner, err := tx.Begin(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, insertAll(ctx, inner, "open"))
	err = tx.Commit(ctx)
	require.ErrorIs(t, err, echobun.ErrTxDoomed)
	require.ErrorContains(t, err, "still open")
	require.ErrorIs(t, inner.Commit(ctx), sql.ErrTxDone)
	require.NoError(t, inner.Rollback(ctx))
	requireAtRest(t, x)
	requireNamed(t, x, "open", 0, 0, 0)
}

func TestAfterCommit(t *testing.T) {
	t.Parallel()
	x, ctx, s := sqliteBank(t)
	var ran []string
	note := func(name string) func(context.Context) {
		return func(context.Context) { ran = append(ran, name) }
	}
	s.AfterCommit(note("at once"))
	require.Equal(t, []string{"at once"}, ran)

	ran = nil
	valued, cancel := context.WithCancel(context.WithValue(ctx, valueKey{}, "kept"))
	require.NoError(t, s.RunInTx(valued, nil, func(ctx context.Context, tx *echobun.Session) error {
		tx.AfterCommit(note("first"))
		tx.AfterCommit(func(context.Context) { panic("no matter") })
		require.Error(t, tx.RunInTx(ctx, nil, func(_ context.Context, tx *echobun.Session) error {
			tx.AfterCommit(note("rolled back"))
			return errOfFn
		}))
		require.NoError(t, tx.RunInTx(ctx, nil, func(_ context.Context, tx *echobun.Session) error {
			tx.AfterCommit(note("nested"))
			return nil
		}))
		tx.AfterCommit(func(ctx context.Context) {
			cancel()
			require.NoError(t, ctx.Err())
			require.Equal(t, "kept", ctx.Value(valueKey{}))
			plain, err := x.Session(ctx)
			require.NoError(t, err)
			require.False(t, plain.InTx())
			require.NoError(t, insertAll(ctx, plain, "afterwards"))
		})
		tx.AfterCommit(note("last"))
		require.Empty(t, ran)
		return insertAll(ctx, tx, "row")
	}))
	require.Equal(t, []string{"first", "nested", "last"}, ran)
	requireNamed(t, x, "afterwards", 1, 1, 1)

	ran = nil
	require.Error(t, s.RunInTx(ctx, nil, func(_ context.Context, tx *echobun.Session) error {
		tx.AfterCommit(note("never"))
		return errOfFn
	}))
	require.Empty(t, ran)

	// What is asked for after the commit runs at once, also from a function that waited for it.
	require.NoError(t, s.RunInTx(ctx, nil, func(_ context.Context, tx *echobun.Session) error {
		tx.AfterCommit(func(context.Context) {
			ran = append(ran, "first")
			tx.AfterCommit(func(context.Context) { ran = append(ran, "second") })
		})
		return nil
	}))
	require.Equal(t, []string{"first", "second"}, ran)
}

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
