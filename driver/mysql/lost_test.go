package mysql_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/cutproxy"
	"github.com/echobun/echobun/internal/dbtest"
	"github.com/echobun/echobun/internal/wire"
)

type item struct {
	bun.BaseModel `bun:"table:items"`

	ID   int64  `bun:",pk,autoincrement"`
	Name string `bun:",notnull"`
	Kind string `bun:",nullzero,default:'std'"`
}

const createItems = "CREATE TABLE items (id bigint PRIMARY KEY AUTO_INCREMENT, name longtext NOT NULL, kind varchar(20) DEFAULT 'std')"

// proxied returns a pool whose connections go through a proxy, and one that
// does not.
func proxied(tb testing.TB) (*cutproxy.Proxy, *bun.DB, *bun.DB) {
	tb.Helper()
	server := dbtest.MariaDB(tb)
	proxy := cutproxy.New(tb, server.Addr())
	o := driver.Options{ConnectTimeout: 5 * time.Second}
	direct := open(tb, parse(tb, server.URL()), o)
	run(tb, direct, createItems)
	return proxy, open(tb, parse(tb, server.URLVia(proxy.Addr())), o), direct
}

func TestLostReply(t *testing.T) {
	t.Parallel()
	inTx := func(do func(context.Context, bun.Tx) error) func(context.Context, *bun.DB) error {
		return func(ctx context.Context, db *bun.DB) error {
			return db.RunInTx(ctx, nil, do)
		}
	}
	insert := func(ctx context.Context, db bun.IDB) error {
		_, err := db.ExecContext(ctx, "INSERT INTO items (name) VALUES ('marker')")
		return err
	}
	tests := []struct {
		name   string
		marker string
		do     func(context.Context, *bun.DB) error
		class  driver.Class
		rows   int // That are there when the server has run the statement.
	}{
		{"raw", "marker", func(ctx context.Context, db *bun.DB) error { return insert(ctx, db) }, driver.OutcomeUnknown, 1},
		{"model", "marker", func(ctx context.Context, db *bun.DB) error {
			_, err := db.NewInsert().Model(&item{Name: "marker"}).Exec(ctx)
			return err
		}, driver.OutcomeUnknown, 1},
		{"no returning", "marker", func(ctx context.Context, db *bun.DB) error {
			_, err := db.NewInsert().Model(&item{Name: "marker"}).Returning("NULL").Exec(ctx)
			return err
		}, driver.OutcomeUnknown, 1},
		{"prepared", "marker", func(ctx context.Context, db *bun.DB) error {
			_, err := db.DB.ExecContext(ctx, "INSERT INTO items (name) VALUES (?)", "marker")
			return err
		}, driver.OutcomeUnknown, 1},
		{"prepared query", "marker", func(ctx context.Context, db *bun.DB) error {
			var id int64
			return db.DB.QueryRowContext(ctx, "INSERT INTO items (name) VALUES (?) RETURNING id", "marker").Scan(&id)
		}, driver.OutcomeUnknown, 1},
		{"select", "marker", func(ctx context.Context, db *bun.DB) error {
			return db.QueryRowContext(ctx, "SELECT 'marker'").Scan(new(string))
		}, driver.OutcomeUnknown, 0},
		{"in transaction", "marker", inTx(func(ctx context.Context, tx bun.Tx) error { return insert(ctx, tx) }), driver.Unavailable, 0},
		{"commented, in transaction", "marker", inTx(func(ctx context.Context, tx bun.Tx) error {
			_, err := tx.NewInsert().Model(&item{Name: "marker"}).Comment("why").Exec(ctx)
			return err
		}), driver.Unavailable, 0},
		{"DDL in transaction", "marker", inTx(func(ctx context.Context, tx bun.Tx) error {
			_, err := tx.ExecContext(ctx, "CREATE TABLE marker (id int)")
			return err
		}), driver.OutcomeUnknown, 0},
		{"commit", "commit", inTx(func(ctx context.Context, tx bun.Tx) error { return insert(ctx, tx) }), driver.OutcomeUnknown, 1},
		{"raw commit", "commit", func(ctx context.Context, db *bun.DB) error {
			return onConn(ctx, db, "BEGIN", "INSERT INTO items (name) VALUES ('x')", "COMMIT")
		}, driver.OutcomeUnknown, 1},
		{"raw transaction", "marker", func(ctx context.Context, db *bun.DB) error {
			return onConn(ctx, db, "BEGIN", "INSERT INTO items (name) VALUES ('marker')", "COMMIT")
		}, driver.Unavailable, 0},
		{"rollback", "rollback", func(ctx context.Context, db *bun.DB) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			if err := insert(ctx, tx); err != nil {
				return err
			}
			return tx.Rollback()
		}, driver.Unavailable, 0},
	}
	for _, mode := range []cutproxy.Mode{cutproxy.DropReply, cutproxy.DropRequest} {
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s/%d", tt.name, mode), func(t *testing.T) {
				t.Parallel()
				proxy, db, direct := proxied(t)
				require.NoError(t, db.PingContext(t.Context()))
				proxy.Arm(mode, tt.marker)
				err := tt.do(t.Context(), db)
				require.Equal(t, 1, proxy.Cuts())
				require.Error(t, err)
				require.Equal(t, tt.class, ours(t).Classify(err), "%v", err)
				rows := tt.rows
				if mode == cutproxy.DropRequest {
					rows = 0
				}
				require.Eventually(t, func() bool {
					return value[int](t, direct, "SELECT count(*) FROM items") == rows
				}, 2*time.Second, 10*time.Millisecond, "want %d rows", rows)
				require.NoError(t, insert(t.Context(), db), "the pool recovers")
			})
		}
	}
}

// onConn runs statements on one connection.
func onConn(ctx context.Context, db *bun.DB, statements ...string) error {
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, q := range statements {
		if _, err := c.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// Writes whose reply is lost are there once each, and reported as unknown.
func TestLostReplyStress(t *testing.T) {
	t.Parallel()
	const writers, each = 4, 25
	proxy, db, direct := proxied(t)
	proxy.ArmN(writers*each, cutproxy.DropReply, "insert into")

	var wg sync.WaitGroup
	errs := make(chan error, writers*each)
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				name := fmt.Sprintf("%d-%d", w, i)
				if i%2 == 0 {
					_, err := db.ExecContext(t.Context(), "INSERT INTO items (name) VALUES (?)", name)
					errs <- err
					continue
				}
				_, err := db.NewInsert().Model(&item{Name: name}).Exec(t.Context())
				errs <- err
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.Equal(t, driver.OutcomeUnknown, ours(t).Classify(err), "%v", err)
	}
	require.Equal(t, writers*each, value[int](t, direct, "SELECT count(*) FROM items"))
	require.Equal(t, writers*each, value[int](t, direct, "SELECT count(DISTINCT name) FROM items"))
}

// A BEGIN or a preparation that is lost has done nothing, so it is sent again.
func TestLostBegin(t *testing.T) {
	t.Parallel()
	for _, marker := range []string{"start transaction", "select ?"} {
		t.Run(marker, func(t *testing.T) {
			t.Parallel()
			proxy, db, _ := proxied(t)
			require.NoError(t, db.PingContext(t.Context()))
			proxy.Arm(cutproxy.DropReply, marker)
			require.NoError(t, db.RunInTx(t.Context(), nil, func(context.Context, bun.Tx) error { return nil }))
			var n int
			require.NoError(t, db.DB.QueryRowContext(t.Context(), "SELECT ?", 7).Scan(&n))
			require.Equal(t, 1, proxy.Cuts())
		})
	}
}

func TestCommitLimit(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		end   func(bun.Tx) error
		class driver.Class
	}{
		{"commit", func(tx bun.Tx) error { return tx.Commit() }, driver.OutcomeUnknown},
		{"rollback", func(tx bun.Tx) error { return tx.Rollback() }, driver.Unavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			const limit = 300 * time.Millisecond
			proxy, db, _ := proxied(t)
			tx, err := db.BeginTx(wire.WithCommitTimeout(t.Context(), limit), nil)
			require.NoError(t, err)
			run(t, tx, "INSERT INTO items (name) VALUES ('x')")
			proxy.Arm(cutproxy.HangReply, tt.name)

			begun := time.Now()
			err = within(t, func() error { return tt.end(tx) })
			require.Less(t, time.Since(begun), limit+250*time.Millisecond)
			require.GreaterOrEqual(t, time.Since(begun), limit)
			require.Equal(t, tt.class, ours(t).Classify(err), "%v", err)
			require.Zero(t, db.Stats().InUse)
			require.Zero(t, db.Stats().Idle, "the connection is not used again")
			require.NoError(t, db.PingContext(t.Context()))
		})
	}
}

// A COMMIT that was never sent did not happen.
func TestCommitUnsent(t *testing.T) {
	t.Parallel()
	proxy, db, _ := proxied(t)
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	proxy.Arm(cutproxy.DropReply, "marker")
	_, err = tx.ExecContext(t.Context(), "INSERT INTO items (name) VALUES ('marker')")
	require.Error(t, err)
	require.Equal(t, driver.Unavailable, ours(t).Classify(tx.Commit()))
}

// The time limit is for the end alone: a query may take longer.
func TestNoReadTimeout(t *testing.T) {
	t.Parallel()
	db := fresh(t)
	ctx := wire.WithCommitTimeout(t.Context(), 50*time.Millisecond)
	require.NoError(t, db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.ExecContext(ctx, "DO SLEEP(0.3)")
		return err
	}))
}

// within fails the test if do takes longer than it ever may.
func within(tb testing.TB, do func() error) error {
	tb.Helper()
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-time.After(5 * time.Second):
		require.FailNow(tb, "it takes too long")
		return nil
	}
}
