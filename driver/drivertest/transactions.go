package drivertest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
)

func (s suite) testTransactionsCommit(t *testing.T) {
	db := s.open(t)
	db.exec(t, "CREATE TABLE notes (v varchar(100))")
	err := db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO notes (v) VALUES ('kept')")
		return err
	})
	require.NoError(t, err)
	require.Equal(t, 1, db.count(t, "notes"))

	err = db.RunInTx(t.Context(), &sql.TxOptions{ReadOnly: true}, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO notes (v) VALUES ('refused')")
		return err
	})
	require.Error(t, err, "a read-only transaction wrote")
	db.exec(t, "INSERT INTO notes (v) VALUES ('after')")
	require.Equal(t, 2, db.count(t, "notes"))
	db.requireIdle(t)
}

func (s suite) testTransactionsRollBack(t *testing.T) {
	db := s.open(t)
	db.exec(t, "CREATE TABLE notes (v varchar(100))")
	no := errors.New("no")
	err := db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO notes (v) VALUES ('gone')"); err != nil {
			return err
		}
		return no
	})
	require.ErrorIs(t, err, no)
	require.Zero(t, db.count(t, "notes"))
	db.requireIdle(t)
}

// testOpenBeginDoesNotLeak leaves a raw BEGIN open on a connection: the next
// borrower's statements must commit by themselves all the same.
func (s suite) testOpenBeginDoesNotLeak(t *testing.T) {
	db := s.open(t)
	db.exec(t, "CREATE TABLE notes (v varchar(100))")
	db.SetMaxOpenConns(1)

	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	_, err = conn.ExecContext(t.Context(), "BEGIN")
	require.NoError(t, err)
	_, err = conn.ExecContext(t.Context(), "INSERT INTO notes (v) VALUES ('uncommitted')")
	require.NoError(t, err)
	require.NoError(t, conn.Close())

	db.exec(t, "INSERT INTO notes (v) VALUES ('committed')")
	other := s.openURL(t, db.url)
	require.Equal(t, 1, other.count(t, "notes"), "one row is committed, the other is not")
}

func (s suite) testCancelledQueryReturns(t *testing.T) {
	db := s.open(t)
	db.exec(t, "CREATE TABLE numbers (n integer)", "INSERT INTO numbers (n) VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (10)")

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	var n int64
	err := db.NewRaw("SELECT count(*) FROM numbers a, numbers b, numbers c, numbers d, numbers e, numbers f, numbers g, "+
		"numbers h, numbers i, numbers j, numbers k WHERE a.n + b.n + c.n + d.n + e.n + f.n + g.n + h.n + i.n + j.n + k.n = 7").
		Scan(ctx, &n)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(start), 5*time.Second)

	require.Equal(t, 10, db.count(t, "numbers"))
	db.requireIdle(t)
}

func (s suite) testCancelledTxRollsBack(t *testing.T) {
	db := s.open(t)
	db.exec(t, "CREATE TABLE notes (v varchar(100))")
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		tx, err := db.BeginTx(ctx, nil)
		require.NoError(t, err)
		_, err = tx.ExecContext(ctx, "INSERT INTO notes (v) VALUES ('gone')")
		require.NoError(t, err)
		cancel()
		require.Error(t, tx.Commit())
	}
	db.requireIdle(t)
	require.Zero(t, db.count(t, "notes"))
}

// testManyAtOnce has fifty goroutines that read and write, with rows open.
func (s suite) testManyAtOnce(t *testing.T) {
	db := s.open(t)
	db.exec(t, "CREATE TABLE notes (v varchar(100))")
	db.exec(t, "INSERT INTO notes (v) VALUES ('first')")

	errs := make(chan error, 50)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() { errs <- readAndWrite(t.Context(), db.DB, i) })
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, 1+50*5, db.count(t, "notes"))
	db.requireIdle(t)
}

func readAndWrite(ctx context.Context, db *bun.DB, who int) error {
	for i := range 5 {
		if err := writeWithRowsOpen(ctx, db, fmt.Sprint(who, i)); err != nil {
			return err
		}
	}
	return nil
}

func writeWithRowsOpen(ctx context.Context, db *bun.DB, note string) error {
	rows, err := db.QueryContext(ctx, "SELECT v FROM notes")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()

	rows.Next()
	_, err = db.ExecContext(ctx, "INSERT INTO notes (v) VALUES (?)", note)
	return errors.Join(err, rows.Err())
}
