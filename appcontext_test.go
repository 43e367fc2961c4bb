package echobun_test

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

func TestAppContextSessions(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: "sqlite://"})
	other := newExtension(t, echobun.Config{DatabaseURI: "sqlite://"})

	_, err := x.Session(t.Context())
	require.ErrorIs(t, err, echobun.ErrNoAppContext)
	require.NotErrorIs(t, err, echobun.ErrAppContextEnded)
	require.ErrorContains(t, err, "make one with Extension.AppContext")

	ctx, s := newSession(t, x)
	again, err := x.Session(context.WithValue(ctx, schemaHookKey{}, 1))
	require.NoError(t, err)
	require.Same(t, s, again, "one session for an app context")

	_, second := newSession(t, x)
	require.NotSame(t, s, second, "none is shared")

	_, err = other.Session(ctx)
	require.ErrorIs(t, err, echobun.ErrNoAppContext, "two extensions do not see each other's")

	both, end := other.AppContext(ctx)
	defer end()
	same, err := x.Session(both)
	require.NoError(t, err)
	require.Same(t, s, same, "and do not hide each other's")
	theirs, err := other.Session(both)
	require.NoError(t, err)
	require.NotSame(t, s, theirs)
}

func TestAppContextTakesFromParent(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: "sqlite://"})
	deadline := time.Now().Add(time.Hour)
	parent, cancel := context.WithDeadline(context.WithValue(t.Context(), schemaHookKey{}, "value"), deadline)
	ctx, end := x.AppContext(parent)
	defer end()

	require.Equal(t, "value", ctx.Value(schemaHookKey{}))
	got, ok := ctx.Deadline()
	require.True(t, ok)
	require.Equal(t, deadline, got)
	require.NoError(t, ctx.Err())
	cancel()
	require.ErrorIs(t, ctx.Err(), context.Canceled)

	s, err := x.Session(ctx)
	require.NoError(t, err, "a cancelled context is cancelled, and not ended")
	_, err = s.NewRaw("SELECT 1").Exec(ctx)
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.NewRaw("SELECT 1").Exec(t.Context())
	require.NoError(t, err, "a statement obeys the context given to it")
}

// endedUses are the ways to a database that a session gives, all made before
// the app context ends and used after it.
func endedUses(s *echobun.Session) map[string]func(ctx context.Context) error {
	type Post struct {
		ID    int64 `bun:",pk,autoincrement"`
		Title string
	}
	var posts []Post
	idb, forModel := s.Bind(""), s.For((*Post)(nil))
	query, insert, raw := s.NewSelect().Model(&posts), s.NewInsert().Model(&Post{Title: "x"}), s.NewRaw("SELECT 1")
	table := s.NewCreateTable().Model((*Post)(nil))
	prepared := s.NewDelete()
	return map[string]func(ctx context.Context) error{
		"Select": func(ctx context.Context) error { return query.Scan(ctx) },
		"Count":  func(ctx context.Context) error { _, err := query.Count(ctx); return err },
		"Insert": func(ctx context.Context) error { _, err := insert.Exec(ctx); return err },
		"Raw":    func(ctx context.Context) error { _, err := raw.Exec(ctx); return err },
		"Create": func(ctx context.Context) error { _, err := table.Exec(ctx); return err },
		"NewDelete": func(ctx context.Context) error {
			_, err := prepared.Model(&Post{ID: 1}).WherePK().Exec(ctx)
			return err
		},
		"Exec": func(ctx context.Context) error { _, err := idb.ExecContext(ctx, "SELECT 1"); return err },
		"Query": func(ctx context.Context) error {
			rows, err := idb.QueryContext(ctx, "SELECT 1")
			return closeRows(rows, err)
		},
		"QueryRow": func(ctx context.Context) error { return idb.QueryRowContext(ctx, "SELECT 1").Scan(new(int)) },
		"ForModel": func(ctx context.Context) error { return forModel.NewSelect().Model(&posts).Scan(ctx) },
		"BeginTx":  func(ctx context.Context) error { _, err := idb.BeginTx(ctx, nil); return err },
		"RunInTx": func(ctx context.Context) error {
			return idb.RunInTx(ctx, nil, func(context.Context, bun.Tx) error { return nil })
		},
		"NewSession": func(ctx context.Context) error { return s.NewSelect().Model(&posts).Scan(ctx) },
	}
}

func closeRows(rows *sql.Rows, err error) error {
	if err != nil {
		return err
	}
	return rows.Close()
}

func TestAppContextEnds(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t)})
	ctx, end := x.AppContext(t.Context())
	s, err := x.Session(ctx)
	require.NoError(t, err)
	uses := endedUses(s)

	var running sync.WaitGroup
	for range 4 {
		running.Go(end) // Idempotent, also at once.
	}
	running.Wait()
	end()

	_, err = x.Session(ctx)
	require.ErrorIs(t, err, echobun.ErrAppContextEnded)
	require.ErrorIs(t, err, echobun.ErrNoAppContext)
	for name, use := range uses {
		for _, c := range []context.Context{ctx, context.Background(), t.Context()} {
			err := use(c)
			require.ErrorIs(t, err, echobun.ErrAppContextEnded, name)
			require.ErrorIs(t, err, echobun.ErrNoAppContext, name)
		}
	}
	require.Zero(t, x.Engine().Stats().OpenConnections, "nothing is sent")
	require.NoError(t, ctx.Err(), "the context itself goes on: it belongs to its parent")
}

func TestNestedAppContexts(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t)})

	alive, _ := newSession(t, x)
	ended, end := x.AppContext(t.Context())
	end()
	cancelled, cancel := context.WithCancel(t.Context())
	inCancelled, endCancelled := x.AppContext(cancelled)
	t.Cleanup(endCancelled)
	cancel()

	for _, tt := range []struct {
		name   string
		parent context.Context
	}{
		{"Alive", alive},
		{"Ended", ended},
		{"CancelledDetached", context.WithoutCancel(inCancelled)},
		{"EndedDetached", context.WithoutCancel(ended)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx, end := x.AppContext(tt.parent)
			s, err := x.Session(ctx)
			require.NoError(t, err)
			_, err = s.NewRaw("SELECT 1").Exec(ctx)
			require.NoError(t, err)
			end()
			_, err = x.Session(ctx)
			require.ErrorIs(t, err, echobun.ErrAppContextEnded)
			if tt.name == "Alive" {
				_, err = x.Session(alive)
				require.NoError(t, err, "its end is not its parent's")
			}
		})
	}

	outer, endOuter := x.AppContext(t.Context())
	inner, endInner := x.AppContext(outer)
	defer endInner()
	endOuter()
	s, err := x.Session(inner)
	require.NoError(t, err, "nor its parent's end its own")
	_, err = s.NewRaw("SELECT 1").Exec(inner)
	require.NoError(t, err)
}

// A transaction of Bun's that is left open ends with the app context.
func TestAppContextRollsBack(t *testing.T) {
	t.Parallel()
	table := keyed("entries")
	perDatabase(t, []any{table}, func(t *testing.T, x *echobun.Extension) {
		t.Helper()
		outer, _ := newSession(t, x)
		require.NoError(t, x.CreateAll(outer))
		cat := catalogueOf(t, x.Engines(), "")

		ctx, end := x.AppContext(t.Context())
		s, err := x.Session(ctx)
		require.NoError(t, err)
		tx, err := s.Bind("").BeginTx(ctx, nil)
		require.NoError(t, err)
		_, err = tx.ExecContext(ctx, "INSERT INTO entries VALUES (1)")
		require.NoError(t, err)
		prepared := tx.NewInsert().Model(&map[string]any{"id": 2}).Table("entries")

		end()
		require.Eventually(t, func() bool { return x.Engine().Stats().InUse == 0 }, 10*time.Second, time.Millisecond)
		_, err = prepared.Exec(context.Background())
		require.ErrorIs(t, err, sql.ErrTxDone)
		require.ErrorIs(t, tx.Commit(), sql.ErrTxDone)
		require.Zero(t, cat.count("entries"))
	})
}

// The context cancels BEGIN and the statements that use it, and RunInTx rolls
// back; but nothing cancels a transaction behind the caller's back.
func TestBunTransactions(t *testing.T) {
	t.Parallel()
	perDatabase(t, []any{keyed("entries")}, func(t *testing.T, x *echobun.Extension) {
		t.Helper()
		ctx, s := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		cat := catalogueOf(t, x.Engines(), "")
		idb := s.Bind("")
		insert := func(id int) func(context.Context, bun.Tx) error {
			return func(ctx context.Context, tx bun.Tx) error {
				_, err := tx.ExecContext(ctx, "INSERT INTO entries VALUES (?)", id)
				return err
			}
		}

		require.NoError(t, idb.RunInTx(ctx, nil, insert(1)))
		require.Equal(t, 1, cat.count("entries"))
		require.ErrorIs(t, idb.RunInTx(ctx, nil, insert(1)), echobun.ErrUnique)
		require.PanicsWithValue(t, "boom", func() {
			_ = idb.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
				require.NoError(t, insert(2)(ctx, tx))
				panic("boom")
			})
		})
		require.Equal(t, 1, cat.count("entries"))

		short, cancel := context.WithCancel(ctx)
		tx, err := idb.BeginTx(short, nil)
		require.NoError(t, err)
		cancel()
		require.ErrorIs(t, insert(3)(short, tx), context.Canceled)
		require.NoError(t, tx.Rollback())

		_, err = idb.BeginTx(short, nil)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorContains(t, err, "default bind: BEGIN: ")

		short, cancel = context.WithCancel(ctx)
		tx, err = idb.BeginTx(short, nil)
		require.NoError(t, err)
		require.NoError(t, insert(4)(short, tx))
		cancel()
		require.NoError(t, tx.Commit(), "a context that ends does not undo a commit")
		require.Equal(t, 2, cat.count("entries"))
		require.Zero(t, x.Engine().Stats().InUse)
	})
}

// A session that several goroutines use for the first time at once gives all
// of them the same doors.
func TestSessionFirstUseAtOnce(t *testing.T) {
	t.Parallel()
	cfg := echobun.Config{Binds: echobun.Binds{}}
	for i := range 20 {
		cfg.Binds[fmt.Sprintf("bind%d", i)] = echobun.EngineOptions{URL: "sqlite://"}
	}
	x := newExtension(t, cfg)
	for range 20 {
		_, s := newSession(t, x)
		var doors sync.Map
		var running sync.WaitGroup
		for range 8 {
			running.Go(func() {
				for key := range cfg.Binds {
					idb := s.Bind(key)
					if first, _ := doors.LoadOrStore(key, idb); first != idb {
						t.Errorf("bind %q has two doors", key)
					}
				}
			})
		}
		running.Wait()
	}
	for key, db := range x.Engines() {
		_, s := newSession(t, x)
		require.Same(t, db.Dialect(), s.Bind(key).Dialect())
	}
}
