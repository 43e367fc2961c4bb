package echobun_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/echobun/echobun"
)

// A receipt is written, and its number returned.
type receipt struct {
	ID   int64  `bun:",pk,autoincrement"`
	Code string `bun:"type:varchar(20)"`
}

// scanned is called when a row of receipts has been read.
type scannedKey struct{}

func (*receipt) AfterScanRow(ctx context.Context) error {
	if scanned, ok := ctx.Value(scannedKey{}).(func()); ok {
		scanned()
	}
	return nil
}

var _ bun.AfterScanRowHook = (*receipt)(nil)

// countReceipts counts beside of what is tested.
func countReceipts(t *testing.T, x *echobun.Extension) int {
	t.Helper()
	n, err := x.Engine().NewSelect().Model((*receipt)(nil)).Count(t.Context())
	require.NoError(t, err)
	return int(n)
}

// TestWriteThatFailsBehindItsFirstRow scans into what wants one row. Bun closes
// the rows then and drops the error of that.
func TestWriteThatFailsBehindItsFirstRow(t *testing.T) {
	t.Parallel()
	perDatabase(t, []any{(*receipt)(nil)}, func(t *testing.T, x *echobun.Extension) {
		ctx, db := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		unique := "CREATE UNIQUE INDEX codes ON receipts (code)"
		if x.Engine().Dialect().Name() == dialect.PG { // Which looks at the end, even of one row.
			unique = "ALTER TABLE receipts ADD UNIQUE (code) DEFERRABLE INITIALLY DEFERRED"
		}
		require.NoError(t, ran(db.NewRaw(unique).Exec(ctx)))
		prepared, err := x.Engine().DB.PrepareContext(ctx, "INSERT INTO receipts (code) VALUES ('a'), ('a') RETURNING id") //nolint:sqlclosecheck // It is, below.
		require.NoError(t, err)
		defer prepared.Close()
		two := []receipt{{Code: "a"}, {Code: "a"}}
		query := "INSERT INTO receipts (code) VALUES ('a'), ('a') RETURNING id"
		for name, run := range map[string]func(db bun.IDB) error{
			"variable": func(db bun.IDB) error {
				return ran(db.NewInsert().Model(&two).Returning("id").Exec(ctx, new(int64)))
			},
			"map":   func(db bun.IDB) error { return db.NewRaw(query).Scan(ctx, new(map[string]any)) },
			"model": func(db bun.IDB) error { return db.NewRaw(query).Scan(ctx, new(receipt)) },
			"row":   func(db bun.IDB) error { return db.QueryRowContext(ctx, query).Scan(new(int64)) },
			"rows": func(db bun.IDB) error {
				rows, err := db.QueryContext(ctx, query)
				if err != nil {
					return err
				}
				defer rows.Close()
				rows.Next()
				return rows.Err()
			},
			"prepared": func(bun.IDB) error { return prepared.QueryRowContext(ctx).Scan(new(int64)) },
		} {
			conn, err := x.Engine().Conn(ctx)
			require.NoError(t, err)
			for door, idb := range map[string]bun.IDB{"session": db.Bind(""), "engine": x.Engine(), "connection": conn} {
				require.ErrorIs(t, run(idb), echobun.ErrUnique, "%s, %s", name, door)
				require.Zero(t, countReceipts(t, x), "%s, %s", name, door)
			}
			require.NoError(t, conn.Close())
		}
	})
}

// TestContextEndsWhileRowsOfAWriteAreRead ends it when they have come. What is
// there must not be told as a failure, nor committed though it was.
func TestContextEndsWhileRowsOfAWriteAreRead(t *testing.T) {
	t.Parallel()
	perDatabase(t, []any{(*receipt)(nil)}, func(t *testing.T, x *echobun.Extension) {
		ctx, db := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		// ending has a context that ends when the first row has been read.
		ending := func(ctx context.Context, run func(ctx context.Context) error) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			return run(context.WithValue(ctx, scannedKey{}, func() {
				cancel()
				time.Sleep(20 * time.Millisecond) // For database/sql to notice.
			}))
		}
		insert := func(db bun.IDB) func(ctx context.Context) error {
			return func(ctx context.Context) error {
				var got []receipt
				err := db.NewRaw("INSERT INTO receipts (code) VALUES ('a'), ('b') RETURNING id").Scan(ctx, &got)
				if err == nil {
					require.Error(t, ctx.Err(), "it has ended between the rows")
					require.Len(t, got, 2)
				}
				return err
			}
		}
		require.NoError(t, ending(ctx, insert(db.Bind(""))))
		require.NoError(t, ending(ctx, insert(x.Engine())))
		require.Equal(t, 4, countReceipts(t, x))

		require.NoError(t, db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			return ending(ctx, insert(tx.Bind("")))
		}))
		require.Equal(t, 6, countReceipts(t, x))

		// Whoever has the rows has them until the context ends, not longer, but
		// is told that they may be there.
		err := ending(ctx, func(ctx context.Context) error {
			rows, err := db.Bind("").QueryContext(ctx, "INSERT INTO receipts (code) VALUES ('c'), ('d') RETURNING id")
			require.NoError(t, err)
			defer rows.Close()
			require.True(t, rows.Next())
			require.NoError(t, new(receipt).AfterScanRow(ctx))
			require.Eventually(t, func() bool { return x.Engine().Stats().InUse == 0 }, 2*time.Second, time.Millisecond)
			require.False(t, rows.Next())
			return rows.Err()
		})
		require.ErrorIs(t, err, echobun.ErrOutcomeUnknown)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, 8, countReceipts(t, x))
		require.Zero(t, x.Engine().Stats().InUse)
	})
}

// TestDeadlinesOfBulkInserts has deadlines end anywhere in large ones.
func TestDeadlinesOfBulkInserts(t *testing.T) {
	t.Parallel()
	perDatabase(t, []any{(*receipt)(nil)}, func(t *testing.T, x *echobun.Extension) {
		ctx, db := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		for i := range 30 {
			require.NoError(t, ran(db.NewDelete().Model((*receipt)(nil)).Where("1 = 1").Exec(ctx)))
			short, cancel := context.WithTimeout(ctx, time.Duration(2+i)*time.Millisecond)
			many := make([]receipt, 2000)
			err := ran(db.NewInsert().Model(&many).Returning("id").Exec(short))
			cancel()
			if n := countReceipts(t, x); err == nil {
				require.Equal(t, len(many), n)
			} else if !errors.Is(err, echobun.ErrOutcomeUnknown) {
				require.Zero(t, n, "%v", err)
			}
		}
	})
}

// TestResultsOfACall reads several of them, which MySQL and MariaDB return.
func TestResultsOfACall(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: databases["MariaDB"](t)}, (*receipt)(nil))
	ctx, db := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	require.NoError(t, ran(db.NewRaw("CREATE PROCEDURE p() BEGIN INSERT INTO receipts (code) VALUES ('a'); "+
		"SELECT code FROM receipts; SELECT 2 AS two, 'b' AS b UNION SELECT 3, 'c'; END").Exec(ctx)))
	rows, err := db.Bind("").QueryContext(ctx, "CALL p()")
	require.NoError(t, err)
	defer rows.Close()
	var code string
	require.True(t, rows.Next())
	require.NoError(t, rows.Scan(&code))
	require.Equal(t, "a", code)
	require.False(t, rows.Next())
	require.True(t, rows.NextResultSet())
	var got []string
	for rows.Next() {
		var n int
		require.NoError(t, rows.Scan(&n, &code))
		got = append(got, code)
	}
	require.NoError(t, rows.Err())
	require.Equal(t, []string{"b", "c"}, got)
}
