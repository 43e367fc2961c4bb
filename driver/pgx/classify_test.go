package pgx_test

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/driver/pgx"
	"github.com/echobun/echobun/internal/dbtest"
	"github.com/echobun/echobun/internal/wire"
)

func TestClassifyConstraints(t *testing.T) {
	t.Parallel()
	db := open(t, dbtest.Postgres(t).URL(), "")
	exec(t, db, "CREATE TABLE parents (id bigint PRIMARY KEY)",
		"CREATE TABLE children (id bigint PRIMARY KEY, parent bigint REFERENCES parents, n bigint NOT NULL CHECK (n > 0), "+
			"r int4range, EXCLUDE USING gist (r WITH &&))",
		"INSERT INTO parents VALUES (1)", "INSERT INTO children VALUES (1, 1, 1, '[1,3)')")
	for q, want := range map[string]driver.Class{
		"INSERT INTO parents VALUES (1)":                   driver.Unique,
		"INSERT INTO children VALUES (2, 2, 1)":            driver.ForeignKey,
		"DELETE FROM parents":                              driver.ForeignKey,
		"INSERT INTO children VALUES (2, 1, NULL)":         driver.NotNull,
		"INSERT INTO children VALUES (2, 1, 0)":            driver.Check,
		"INSERT INTO children VALUES (2, 1, 1, '[2,4)')":   0,
		"SELECT 1 FROM nowhere":                            0,
		"INSERT INTO children VALUES (2, 1, 1e30)":         driver.InvalidValue,
		"INSERT INTO children VALUES (2, 1, 'x')":          driver.InvalidValue,
		"SET TRANSACTION READ ONLY; CREATE TABLE never ()": driver.ReadOnly,
	} {
		_, err := db.ExecContext(t.Context(), q)
		require.Error(t, err, q)
		require.Equal(t, want, pgxDriver(t).Classify(err), q)
		require.Equal(t, want, pgxDriver(t).Classify(fmt.Errorf("wrapped: %w", err)), q)
	}
}

func TestClassifyConflicts(t *testing.T) {
	t.Parallel()
	db := open(t, dbtest.Postgres(t).URL(), "")
	exec(t, db, "CREATE TABLE writes (id bigint PRIMARY KEY, n bigint)", "INSERT INTO writes VALUES (1, 0), (2, 0)")
	begin := func() bun.Tx {
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		t.Cleanup(func() { _ = tx.Rollback() })
		return tx
	}

	a, b := begin(), begin()
	exec(t, a, "UPDATE writes SET n = 1 WHERE id = 1")
	exec(t, b, "SET LOCAL lock_timeout = 50")
	_, err := b.ExecContext(t.Context(), "UPDATE writes SET n = 1 WHERE id = 1")
	require.Equal(t, driver.Serialization, pgxDriver(t).Classify(err), err)
	require.NoError(t, b.Rollback())

	b = begin()
	exec(t, b, "UPDATE writes SET n = 1 WHERE id = 2")
	other := make(chan error, 1)
	go func() {
		_, err := a.ExecContext(t.Context(), "UPDATE writes SET n = 1 WHERE id = 2")
		other <- err
	}()
	_, err = b.ExecContext(t.Context(), "UPDATE writes SET n = 1 WHERE id = 1")
	if err == nil {
		err = <-other
	}
	require.Equal(t, driver.Serialization|driver.DoomsTx, pgxDriver(t).Classify(err), err)
}

func TestClassifyTooManyConnections(t *testing.T) {
	t.Parallel()
	s := dbtest.Postgres(t)
	admin := open(t, s.URL(), "")
	exec(t, admin, "CREATE ROLE r_"+s.Database+" LOGIN PASSWORD 'pw' CONNECTION LIMIT 1")
	defer exec(t, admin, "DROP ROLE r_"+s.Database)
	db := open(t, fmt.Sprintf("postgresql://r_%s:pw@%s/%s", s.Database, s.Addr(), s.Database), "sslmode=disable")
	c, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer c.Close()
	_, err = db.ExecContext(t.Context(), "SELECT 1")
	require.Equal(t, driver.Unavailable, pgxDriver(t).Classify(err), err)
	require.ErrorContains(t, err, "53300")
}

func TestClassifyOthers(t *testing.T) {
	t.Parallel()
	fatal := func(code string) error { return &pgconn.PgError{Severity: "FATAL", Code: code} }
	for _, c := range []struct {
		name string
		err  error
		want driver.Class
	}{
		{name: "nil", err: nil, want: 0},
		{name: "other", err: errors.New("other"), want: 0},
		{name: "outcome", err: wire.OutcomeUnknown(io.EOF), want: driver.OutcomeUnknown},
		{name: "outcome of a pooler", err: wire.OutcomeUnknown(fatal("08P01")), want: driver.OutcomeUnknown},
		{name: "canceled", err: context.Canceled, want: 0},
		{name: "deadline", err: fmt.Errorf("x: %w", context.DeadlineExceeded), want: 0},
		{name: "bad connection", err: sqldriver.ErrBadConn, want: driver.Unavailable},
		{name: "closed", err: pgconn.ErrConnClosed, want: driver.Unavailable},
		{name: "EOF", err: io.ErrUnexpectedEOF, want: driver.Unavailable},
		{name: "net", err: &net.OpError{Op: "read", Err: errors.New("reset")}, want: driver.Unavailable},
		{name: "shutdown", err: fatal("57P01"), want: driver.Unavailable | driver.DoomsTx},
		{name: "crash", err: fatal("57P02"), want: driver.Unavailable | driver.DoomsTx},
		{name: "starting", err: fatal("57P03"), want: driver.Unavailable | driver.DoomsTx},
		{name: "connection exception", err: fatal("08006"), want: driver.Unavailable | driver.DoomsTx},
		{name: "serialization", err: &pgconn.PgError{Severity: "ERROR", Code: "40001"}, want: driver.Serialization | driver.DoomsTx},
	} {
		require.Equal(t, c.want, pgxDriver(t).Classify(c.err), c.name)
	}
}

func TestMayCommit(t *testing.T) {
	t.Parallel()
	for q, want := range map[string]bool{
		"commit":                                true,
		" COMMIT AND CHAIN":                     true,
		"END":                                   true,
		"insert into t values (1); commit":      true,
		"/* why */ commit":                      true,
		"-- why\ncommit":                        true,
		"prepare transaction 'x'":               true,
		"PREPARE\n\tTRANSACTION 'x'":            true,
		"commit prepared 'x'":                   true,
		"ROLLBACK PREPARED 'x'":                 true,
		"rollback":                              false,
		"select case when a then b end from t":  false,
		"select case when a then b\nend from t": false,
		"insert into commits values (1)":        false,
		"prepare x as select 1":                 false,
		"update t set committed = true":         false,
	} {
		require.Equal(t, want, pgx.MayCommit(q), q)
	}
}
