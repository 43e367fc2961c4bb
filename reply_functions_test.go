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
	"github.com/echobun/echobun/internal/dbtest"
)

// perServer is perDatabase for those on which functions can write. Each has
// make_receipt, which does, and breaks at the code "bad".
func perServer(t *testing.T, run func(t *testing.T, x *echobun.Extension)) {
	t.Helper()
	for name, server := range map[string]struct{ url, function string }{
		"PostgreSQL": {dbtest.Postgres(t).URL(), "CREATE FUNCTION make_receipt(name text) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN " +
			"IF name = 'bad' THEN RAISE 'no such code'; END IF; " +
			"INSERT INTO receipts (code) VALUES (name); RETURN currval('receipts_id_seq'); END $$"},
		"MariaDB": {dbtest.MariaDB(t).URL(), "CREATE FUNCTION make_receipt(name text) RETURNS bigint MODIFIES SQL DATA BEGIN " +
			"IF name = 'bad' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no such code'; END IF; " +
			"INSERT INTO receipts (code) VALUES (name); RETURN last_insert_id(); END"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newExtension(t, echobun.Config{DatabaseURI: server.url}, (*receipt)(nil))
			ctx, db := newSession(t, x)
			require.NoError(t, x.CreateAll(ctx))
			require.NoError(t, ran(db.NewRaw(server.function).Exec(ctx)))
			run(t, x)
		})
	}
}

// numbers is a table of the numbers from 1 to 2,000, as n.
func numbers(x *echobun.Extension) string {
	if x.Engine().Dialect().Name() == dialect.PG {
		return "generate_series(1, 2000) AS numbers (n)"
	}
	return "(SELECT seq AS n FROM seq_1_to_2000) AS numbers"
}

// endingAtFirstRow reads receipts with a context that ends at the first one.
func endingAtFirstRow(ctx context.Context, db bun.IDB, query string) ([]receipt, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ctx = context.WithValue(ctx, scannedKey{}, func() {
		cancel()
		time.Sleep(20 * time.Millisecond) // For database/sql to notice.
	})
	var got []receipt
	err := db.NewRaw(query).Scan(ctx, &got)
	return got, err
}

// TestContextEndsWhileRowsOfAFunctionAreRead has it called in every way. Its rows
// are there, and so is what it has written.
func TestContextEndsWhileRowsOfAFunctionAreRead(t *testing.T) {
	t.Parallel()
	ways := map[dialect.Name][]string{
		dialect.PG: {
			"SELECT id FROM make_receipt('a') AS id",
			`SELECT "make_receipt"('a') AS id`,
			"SELECT * FROM (VALUES (make_receipt('a'))) AS v (id)",
			"-- who\rSELECT make_receipt('a') AS id",
		},
		dialect.MySQL: {"SELECT `make_receipt`('a') AS id", "# who\nSELECT make_receipt('a') AS id"},
	}
	perServer(t, func(t *testing.T, x *echobun.Extension) {
		ctx, db := newSession(t, x)
		queries := append(ways[x.Engine().Dialect().Name()],
			"SELECT make_receipt('a') AS id",
			"\fSELECT\fmake_receipt('a') AS id",
			"(SELECT DISTINCT make_receipt('a') AS id)",
			"SELECT ALL make_receipt('a') AS id",
			"SELECT coalesce(make_receipt('a'), 1) AS id FROM (SELECT 1 AS one) AS one",
			"WITH x AS (SELECT 1 AS one) SELECT make_receipt('a') AS id FROM x",
		)
		for i, query := range queries {
			got, err := endingAtFirstRow(ctx, db.Bind(""), query)
			require.NoError(t, err, query)
			require.Len(t, got, 1, query)
			require.Equal(t, i+1, countReceipts(t, x), query)
		}
	})
}

// TestDeadlinesOfFunctions has deadlines end anywhere in the calls of many.
func TestDeadlinesOfFunctions(t *testing.T) {
	t.Parallel()
	perServer(t, func(t *testing.T, x *echobun.Extension) {
		ctx, db := newSession(t, x)
		for i := range 30 {
			require.NoError(t, ran(db.NewDelete().Model((*receipt)(nil)).Where("1 = 1").Exec(ctx)))
			short, cancel := context.WithTimeout(ctx, time.Duration(2+4*i)*time.Millisecond)
			var ids []int64
			err := db.NewRaw("SELECT make_receipt('a') FROM "+numbers(x)).Scan(short, &ids)
			cancel()
			if n := countReceipts(t, x); err == nil {
				require.Equal(t, 2000, n)
				require.Len(t, ids, 2000)
			} else if !errors.Is(err, echobun.ErrOutcomeUnknown) {
				require.Zero(t, n, "%v", err)
			}
		}
	})
}

// TestFunctionOfManyRows returns more of them than are read ahead.
func TestFunctionOfManyRows(t *testing.T) {
	t.Parallel()
	perServer(t, func(t *testing.T, x *echobun.Extension) {
		ctx, db := newSession(t, x)
		many := "SELECT make_receipt('a') AS id, repeat('x', 10000) AS code FROM " + numbers(x)

		// Those who have no time for them are told that they may be there.
		_, err := endingAtFirstRow(ctx, db.Bind(""), many)
		require.ErrorIs(t, err, echobun.ErrOutcomeUnknown)
		require.ErrorIs(t, err, context.Canceled)

		require.NoError(t, ran(db.NewDelete().Model((*receipt)(nil)).Where("1 = 1").Exec(ctx)))
		for _, rest := range []string{"", " WHERE n <= 120"} { // The server is done with these by then.
			err = db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
				_, err := endingAtFirstRow(ctx, tx.Bind(""), many+rest)
				require.ErrorIs(t, err, echobun.ErrOutcomeUnknown)
				return nil
			})
			require.ErrorIs(t, err, echobun.ErrTxDoomed)
		}
		require.Zero(t, countReceipts(t, x))

		// All are read by those who want all, and what fails late fails late.
		var got []receipt
		require.NoError(t, db.NewRaw(many).Scan(ctx, &got))
		require.Len(t, got, 2000)
		rows, err := db.Bind("").QueryContext(ctx, "SELECT make_receipt(CASE WHEN n = 2000 THEN 'bad' ELSE 'a' END), repeat('x', 10000) FROM "+numbers(x))
		require.NoError(t, err)
		defer rows.Close()
		n := 0
		for ; rows.Next(); n++ {
		}
		require.ErrorContains(t, rows.Err(), "no such code")
		require.Equal(t, 1999, n)
		require.Equal(t, 2000, countReceipts(t, x))
	})
}
