package pgx_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	jackc "github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/cutproxy"
	"github.com/echobun/echobun/internal/dbtest"
	"github.com/echobun/echobun/internal/wire"
)

func TestCommitAndRollbackHang(t *testing.T) {
	t.Parallel()
	const limit = time.Second
	for _, c := range []struct {
		name  string
		end   func(*sql.Tx) error
		class driver.Class
	}{
		{name: "commit", end: (*sql.Tx).Commit},
		{name: "rollback", end: (*sql.Tx).Rollback, class: driver.DoomsTx | driver.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db, _, p := proxied(t, "")
			tx, err := db.BeginTx(wire.WithCommitTimeout(t.Context(), limit), nil)
			require.NoError(t, err)
			exec(t, tx, "INSERT INTO writes (n) VALUES (1)")
			p.Arm(cutproxy.HangReply, c.name)
			start := time.Now()
			err = c.end(tx.Tx)
			took := time.Since(start)
			if class := pgxDriver(t).Classify(err); class != c.class { // There is little time to ask, and the machine may be busy.
				require.Equal(t, "commit", c.name, err)
				require.NotZero(t, class&driver.OutcomeUnknown, err)
			}
			require.Greater(t, took, limit-100*time.Millisecond)
			require.Less(t, took, limit+2*time.Second)
			require.Zero(t, db.Stats().InUse)
			exec(t, db, "SELECT 1")
		})
	}
}

// A request that ends while its COMMIT is under way gets the truth.
func TestCommitOutlivesItsContext(t *testing.T) {
	t.Parallel()
	s := dbtest.Postgres(t)
	db := open(t, s.URL(), "")
	exec(t, db, "CREATE TABLE writes (id bigserial PRIMARY KEY, n bigint NOT NULL)",
		"CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.4); RETURN NULL; END $$",
		"CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON writes DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tx, err := db.BeginTx(ctx, nil)
	require.NoError(t, err)
	exec(t, tx, "INSERT INTO writes (n) VALUES (1)")
	time.AfterFunc(100*time.Millisecond, cancel)
	require.NoError(t, tx.Commit())
	require.Error(t, ctx.Err(), "the context ended while COMMIT ran")
	require.Equal(t, 1, count(t, db, "writes"))
}

func TestCommitOfFailedTransaction(t *testing.T) {
	t.Parallel()
	db := open(t, dbtest.Postgres(t).URL(), "")
	db.SetMaxOpenConns(1)
	pid := backend(t.Context(), t, db)
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "SELECT 1/0")
	require.Error(t, err)
	_, err = tx.ExecContext(t.Context(), "SELECT 1")
	require.Zero(t, pgxDriver(t).Classify(err), "a savepoint may heal it: %v", err)
	err = tx.Commit()
	require.ErrorIs(t, err, jackc.ErrTxCommitRollback)
	require.ErrorContains(t, err, "ROLLBACK")
	require.Equal(t, driver.DoomsTx, pgxDriver(t).Classify(err), err)
	require.Equal(t, pid, backend(t.Context(), t, db), "the connection is kept")
}

func TestCommitRefusedByServer(t *testing.T) {
	t.Parallel()
	db := open(t, dbtest.Postgres(t).URL(), "")
	db.SetMaxOpenConns(1)
	exec(t, db, "CREATE TABLE writes (n bigint UNIQUE DEFERRABLE INITIALLY DEFERRED)")
	pid := backend(t.Context(), t, db)
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	exec(t, tx, "INSERT INTO writes VALUES (1), (1)")
	err = tx.Commit()
	require.Equal(t, driver.Unique, pgxDriver(t).Classify(err), err)
	require.Equal(t, pid, backend(t.Context(), t, db), "the connection is kept")
}

func TestIsolation(t *testing.T) {
	t.Parallel()
	db := open(t, dbtest.Postgres(t).URL(), "")
	for level, want := range map[sql.IsolationLevel]string{
		sql.LevelDefault:         "read committed",
		sql.LevelReadUncommitted: "read uncommitted",
		sql.LevelReadCommitted:   "read committed",
		sql.LevelRepeatableRead:  "repeatable read",
		sql.LevelSnapshot:        "repeatable read",
		sql.LevelSerializable:    "serializable",
	} {
		for _, readOnly := range []bool{false, true} {
			tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: level, ReadOnly: readOnly})
			require.NoError(t, err)
			var isolation string
			var ro bool
			require.NoError(t, tx.NewRaw("SELECT current_setting('transaction_isolation'), "+
				"current_setting('transaction_read_only')::bool").Scan(t.Context(), &isolation, &ro))
			require.Equal(t, want, isolation)
			require.Equal(t, readOnly, ro)
			if readOnly {
				_, err = tx.ExecContext(t.Context(), "CREATE TABLE nothing ()")
				require.Equal(t, driver.ReadOnly, pgxDriver(t).Classify(err), err)
			}
			require.NoError(t, tx.Rollback())
		}
	}
	_, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelLinearizable})
	require.ErrorContains(t, err, `no isolation level "Linearizable"`)
}

func TestBeginObeysContext(t *testing.T) {
	t.Parallel()
	db, _, p := proxied(t, "")
	p.Arm(cutproxy.HangReply, "begin")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := db.BeginTx(ctx, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Zero(t, pgxDriver(t).Classify(err), err)
	require.Less(t, time.Since(start), time.Second)
}

// A transaction begun by a plain statement and left open would swallow the
// writes of the connection's next user.
func TestRawBeginLeftOpen(t *testing.T) {
	t.Parallel()
	s := dbtest.Postgres(t)
	db, beside := open(t, s.URL(), ""), open(t, s.URL(), "")
	db.SetMaxOpenConns(1)
	exec(t, db, "CREATE TABLE writes (n bigint)")
	c, err := db.Conn(t.Context())
	require.NoError(t, err)
	pid := backend(t.Context(), t, c)
	exec(t, c, "BEGIN", "INSERT INTO writes VALUES (1)")
	_, err = c.BeginTx(t.Context(), nil)
	require.ErrorContains(t, err, "already in a transaction")
	require.NoError(t, c.Close())
	require.Zero(t, db.Stats().Idle, "it goes at once, and its locks with it")
	exec(t, db, "INSERT INTO writes VALUES (2)")
	require.NotEqual(t, pid, backend(t.Context(), t, db))
	require.Equal(t, 1, count(t, beside, "writes"))
}

func TestCanceledTransactionKeepsConnection(t *testing.T) {
	t.Parallel()
	db := open(t, dbtest.Postgres(t).URL(), "")
	db.SetMaxOpenConns(1)
	pid := backend(t.Context(), t, db)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	tx, err := db.BeginTx(ctx, nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(ctx, "SELECT pg_sleep(10)")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, pid, backend(t.Context(), t, db))
}

func TestRollbackOfLostConnection(t *testing.T) {
	t.Parallel()
	db, _, p := proxied(t, "")
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	p.Arm(cutproxy.DropReply, "insert into")
	_, err = tx.ExecContext(t.Context(), "INSERT INTO writes (n) VALUES (1)")
	require.Error(t, err)
	require.NoError(t, tx.Rollback())
}

func TestRowsLeftOpen(t *testing.T) {
	t.Parallel()
	db := open(t, dbtest.Postgres(t).URL(), "")
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	rows, err := tx.QueryContext(t.Context(), "SELECT generate_series(1, 3)")
	require.NoError(t, err)
	require.True(t, rows.Next())
	_, err = tx.ExecContext(t.Context(), "SELECT 1")
	require.ErrorContains(t, err, "still open")
	require.NoError(t, rows.Close()) //nolint:sqlclosecheck // It is what is tested.
	require.NoError(t, rows.Err())
	exec(t, tx, "SELECT 1")
	require.NoError(t, tx.Commit())
}
