package echobun_test

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// slow takes longer than anybody waits for.
var slow = map[string]string{
	"MariaDB":    "SELECT SLEEP(5)",
	"PostgreSQL": "SELECT pg_sleep(5)",
	"SQLite":     "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 100000000) SELECT count(*) FROM n",
}

// afterwards is what follows on a connection whose transaction has just been
// cancelled. The error of what was refused must say so; what it has done has to stay.
var afterwards = map[string]func(ctx context.Context, conn bun.Conn, prepared *sql.Stmt, id int) (stays bool, err error){
	"a transaction": func(ctx context.Context, conn bun.Conn, _ *sql.Stmt, id int) (bool, error) {
		err := conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			return ran(tx.ExecContext(ctx, "INSERT INTO pins VALUES (?)", id))
		})
		return err == nil, err
	},
	"one that rolls back": func(ctx context.Context, conn bun.Conn, _ *sql.Stmt, id int) (bool, error) {
		tx, err := conn.BeginTx(ctx, nil)
		if err != nil {
			return false, err
		}
		err = ran(tx.ExecContext(ctx, "INSERT INTO pins VALUES (?)", id))
		if err == nil {
			err = tx.Rollback()
		}
		return false, err
	},
	"a statement": func(ctx context.Context, conn bun.Conn, _ *sql.Stmt, id int) (bool, error) {
		err := ran(conn.ExecContext(ctx, "INSERT INTO pins VALUES (?)", id))
		return err == nil, err
	},
	"a query": func(ctx context.Context, conn bun.Conn, _ *sql.Stmt, id int) (bool, error) {
		var got int
		err := conn.NewRaw("INSERT INTO pins VALUES (?) RETURNING id", id).Scan(ctx, &got)
		return err == nil, err
	},
	"a prepared statement": func(ctx context.Context, _ bun.Conn, prepared *sql.Stmt, id int) (bool, error) {
		err := ran(prepared.ExecContext(ctx, id))
		return err == nil, err
	},
	"something beneath": func(ctx context.Context, conn bun.Conn, _ *sql.Stmt, id int) (bool, error) {
		err := conn.Raw(func(dc any) error {
			inner, ok := dc.(interface{ Unwrap() sqldriver.Conn })
			if !ok {
				return fmt.Errorf("%T", dc)
			}
			execer, ok := inner.Unwrap().(sqldriver.ExecerContext)
			if !ok {
				return fmt.Errorf("%T", inner.Unwrap())
			}
			return ran(execer.ExecContext(ctx, fmt.Sprintf("INSERT INTO pins VALUES (%d)", id), nil))
		})
		return err == nil, err
	},
}

// TestPinnedConnectionAfterACancelledTransaction uses it at once. Database/sql
// rolls back on a goroutine of its own, which anything can overtake.
func TestPinnedConnectionAfterACancelledTransaction(t *testing.T) {
	t.Parallel()
	for name, dsn := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newExtension(t, echobun.Config{DatabaseURI: dsn(t)})
			ctx, db := t.Context(), x.Engine()
			require.NoError(t, ran(db.ExecContext(ctx, "CREATE TABLE pins (id INT PRIMARY KEY)")))
			insert := "INSERT INTO pins VALUES (?)"
			if name == "PostgreSQL" {
				insert = "INSERT INTO pins VALUES ($1)"
			}
			id := 0
			for what, next := range afterwards {
				for range 8 {
					conn, err := db.Conn(ctx)
					require.NoError(t, err)
					prepared, err := conn.PrepareContext(ctx, insert)
					require.NoError(t, err)

					id += 2
					require.ErrorIs(t, cancelled(ctx, conn, slow[name], id), context.DeadlineExceeded)
					stays, err := next(ctx, conn, prepared, id+1)
					if err != nil {
						require.ErrorIs(t, err, sql.ErrTxDone, what)
						require.ErrorContains(t, err, "about to be rolled back", what)
					}
					_ = prepared.Close() //nolint:sqlclosecheck // In the loop.
					require.Eventually(t, func() bool { return ran(conn.ExecContext(ctx, "SELECT 1")) == nil }, 2*time.Second, time.Millisecond)
					require.NoError(t, conn.Close())

					var ids []int
					require.NoError(t, db.NewSelect().Table("pins").Column("id").Where("id >= ?", id).Scan(ctx, &ids))
					if stays {
						require.Equal(t, []int{id + 1}, ids, what)
					} else {
						require.Empty(t, ids, what)
					}
				}
			}
		})
	}
}

// cancelled runs a transaction whose context ends in a statement.
func cancelled(ctx context.Context, conn bun.Conn, query string, id int) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	return conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := ran(tx.ExecContext(ctx, "INSERT INTO pins VALUES (?)", id)); err != nil {
			return err
		}
		return ran(tx.ExecContext(ctx, query))
	})
}

// TestBeginInsideOfABegunTransaction is about MySQL, where BEGIN commits what
// was open. SQLite and PostgreSQL refuse it themselves.
func TestBeginInsideOfABegunTransaction(t *testing.T) {
	t.Parallel()
	perDatabase(t, nil, func(t *testing.T, x *echobun.Extension) {
		ctx := t.Context()
		require.NoError(t, ran(x.Engine().ExecContext(ctx, "CREATE TABLE pins (id INT PRIMARY KEY)")))
		conn, err := x.Engine().Conn(ctx)
		require.NoError(t, err)
		require.NoError(t, ran(conn.ExecContext(ctx, "BEGIN")))
		require.NoError(t, ran(conn.ExecContext(ctx, "INSERT INTO pins VALUES (1)")))
		_, err = conn.BeginTx(ctx, nil)
		require.ErrorContains(t, err, "transaction")
		require.NoError(t, ran(conn.ExecContext(ctx, "ROLLBACK")))
		require.NoError(t, conn.Close())
		var n int
		require.NoError(t, x.Engine().NewSelect().Table("pins").ColumnExpr("count(*)").Scan(ctx, &n))
		require.Zero(t, n)
	})
}

// TestRawReachesPgx goes the way that the page of driver/pgx says.
func TestRawReachesPgx(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: databases["PostgreSQL"](t)})
	conn, err := x.Engine().Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.Raw(func(dc any) error {
		outer, ok := dc.(interface{ Unwrap() sqldriver.Conn })
		require.True(t, ok)
		inner, ok := outer.Unwrap().(interface{ Conn() *pgx.Conn })
		require.True(t, ok)
		return inner.Conn().Ping(t.Context())
	}))
}
