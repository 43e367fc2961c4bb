package mysql_test

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	gomysql "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/driver/mysql"
	"github.com/echobun/echobun/internal/wire"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	server := func(number uint16, message string) error {
		return fmt.Errorf("wrapped: %w", &gomysql.MySQLError{Number: number, Message: message})
	}
	const doomed = driver.Serialization | driver.DoomsTx
	tests := []struct {
		name string
		err  error
		want driver.Class
	}{
		{"nil", nil, 0},
		{"unknown", errors.New("x"), 0},
		{"unique", server(1062, "Duplicate entry"), driver.Unique},
		{"unique with key", server(1586, ""), driver.Unique},
		{"parent", server(1451, ""), driver.ForeignKey},
		{"child", server(1452, ""), driver.ForeignKey},
		{"old child", server(1216, ""), driver.ForeignKey},
		{"old parent", server(1217, ""), driver.ForeignKey},
		{"MySQL 8 drop of a parent", server(3730, ""), driver.ForeignKey},
		{"null", server(1048, ""), driver.NotNull},
		{"no default", server(1364, ""), driver.NotNull},
		{"null in file", server(1263, ""), driver.NotNull},
		{"MySQL 8 check", server(3819, ""), driver.Check},
		{"MariaDB check", server(4025, ""), driver.Check},
		{"deadlock", server(1213, ""), doomed},
		{"lock wait", server(1205, ""), doomed},
		{"snapshot", server(1020, ""), doomed},
		{"nowait", server(3572, ""), driver.Serialization},
		{"read-only server", server(1290, "The MariaDB server is running with the --read-only option so"), driver.ReadOnly},
		{"read-only server of old", server(1290, "running with the --read_only option"), driver.ReadOnly},
		{"another option", server(1290, "running with the --secure-file-priv option"), 0},
		{"read-only transaction", server(1792, ""), driver.ReadOnly},
		{"read-only mode", server(1836, ""), driver.ReadOnly},
		{"read lock", server(1223, ""), driver.ReadOnly},
		{"too many connections", server(1040, ""), driver.Unavailable},
		{"no quorum", server(1047, ""), driver.Unavailable},
		{"shutdown", server(1053, ""), driver.Unavailable},
		{"blocked host", server(1129, ""), driver.Unavailable},
		{"killed", server(1927, ""), driver.Unavailable},
		{"syntax", server(1064, ""), 0},
		{"access", server(1045, ""), 0},
		{"stopped", server(1317, ""), 0},
		{"invalid connection", gomysql.ErrInvalidConn, driver.Unavailable},
		{"bad connection", sqldriver.ErrBadConn, driver.Unavailable},
		{"refused", &net.OpError{Op: "dial", Err: errors.New("refused")}, driver.Unavailable},
		{"time-out", os.ErrDeadlineExceeded, driver.Unavailable},
		{"end of file", io.ErrUnexpectedEOF, driver.Unavailable},
		{"canceled", fmt.Errorf("x: %w", context.Canceled), 0},
		{"deadline", context.DeadlineExceeded, 0},
		{"lost", fmt.Errorf("x: %w", wire.OutcomeUnknown(gomysql.ErrInvalidConn)), driver.OutcomeUnknown},
		{"cancelled and lost", wire.OutcomeUnknown(context.Canceled), driver.OutcomeUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, ours(t).Classify(tt.err))
		})
	}
}

func TestClassifyReal(t *testing.T) {
	t.Parallel()
	db := fresh(t)
	run(t, db,
		"CREATE TABLE p (id int PRIMARY KEY, n int NOT NULL, c int CHECK (c > 0))",
		"CREATE TABLE k (id int PRIMARY KEY, p int, FOREIGN KEY (p) REFERENCES p (id))",
		"INSERT INTO p VALUES (1, 1, 1)", "INSERT INTO k VALUES (1, 1)")
	tests := []struct {
		query string
		want  driver.Class
	}{
		{"INSERT INTO p VALUES (1, 1, 1)", driver.Unique},
		{"INSERT INTO k VALUES (2, 2)", driver.ForeignKey},
		{"DELETE FROM p", driver.ForeignKey},
		{"DROP TABLE p", driver.ForeignKey},
		{"INSERT INTO p VALUES (2, NULL, 1)", driver.NotNull},
		{"INSERT INTO p (id) VALUES (2)", driver.NotNull},
		{"INSERT INTO p VALUES (2, 1, 0)", driver.Check},
		{"SELEC", 0},
	}
	for _, tt := range tests {
		_, err := db.ExecContext(t.Context(), tt.query)
		require.Error(t, err, tt.query)
		require.Equal(t, tt.want, ours(t).Classify(err), "%s: %v", tt.query, err)
	}

	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "DELETE FROM k")
	require.Equal(t, driver.ReadOnly, ours(t).Classify(err))
	require.NoError(t, tx.Rollback())
}

// The victim of a deadlock has lost its transaction, though the connection
// would take more statements.
func TestDeadlock(t *testing.T) {
	t.Parallel()
	db := fresh(t)
	run(t, db, "CREATE TABLE t (id int PRIMARY KEY, n int)", "INSERT INTO t VALUES (1, 0), (2, 0)")
	txs := []bun.Tx{begin(t, db), begin(t, db)}
	errs := make(chan error, len(txs))
	run(t, txs[0], "UPDATE t SET n = 1 WHERE id = 1")
	run(t, txs[1], "UPDATE t SET n = 2 WHERE id = 2")
	for i, tx := range txs {
		go func() {
			_, err := tx.ExecContext(context.Background(), "UPDATE t SET n = 3 WHERE id = ?", 2-i)
			errs <- errors.Join(err, tx.Rollback())
		}()
		time.Sleep(50 * time.Millisecond)
	}
	err := errors.Join(<-errs, <-errs)
	require.Equal(t, driver.Serialization|driver.DoomsTx, ours(t).Classify(err), "%v", err)
}

func begin(tb testing.TB, db *bun.DB) bun.Tx {
	tb.Helper()
	tx, err := db.BeginTx(tb.Context(), nil)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

// TestNamed: go-sql-driver's error of a connection that broke before anything
// was written is no [sqldriver.ErrBadConn], and nobody can name it.
func TestNamed(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, mysql.Named(errors.New("bad connection")), gomysql.ErrInvalidConn)
	other := errors.New("other")
	require.Same(t, other, mysql.Named(other))
}
