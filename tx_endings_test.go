package echobun_test

import (
	"context"
	"database/sql"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"

	"github.com/echobun/echobun"
)

// SQL that would end a transaction on one bind alone is not sent, and nothing
// is half done.
func TestTxRefusesWhatWouldEndIt(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	always := []string{"COMMIT", "ROLLBACK", "BEGIN", "/* c */ commit", "\n-- c\nrollback work"}
	for key, more := range map[string][]string{
		"": {"END", "ABORT", "PREPARE TRANSACTION 'x'"},
		"auth": {
			"START TRANSACTION", "CREATE TABLE ended (id int)", "TRUNCATE TABLE credits", "ALTER TABLE credits COMMENT 'x'",
			"DROP TABLE IF EXISTS nothing", "LOCK TABLES credits WRITE", "XA START 'x'",
		},
		"meta": {"END"},
	} {
		for _, query := range slices.Concat(always, more) {
			for way, send := range map[string]func(context.Context, *echobun.Session) error{
				"exec": func(ctx context.Context, tx *echobun.Session) error { return ran(tx.Bind(key).ExecContext(ctx, query)) },
				"query": func(ctx context.Context, tx *echobun.Session) error {
					return closeRows(tx.Bind(key).QueryContext(ctx, query))
				},
				"nested": func(ctx context.Context, tx *echobun.Session) error {
					return tx.Bind(key).RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error { return ran(tx.ExecContext(ctx, query)) })
				},
			} {
				err := s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
					require.NoError(t, insertAll(ctx, tx, "half"))
					err := send(ctx, tx)
					require.ErrorContains(t, err, " the transaction", "%q %s", query, way)
					var bind *echobun.BindError
					require.ErrorAs(t, err, &bind)
					require.Equal(t, key, bind.Bind)
					return err
				})
				require.Error(t, err)
				requireNamed(t, x, "half", 0, 0, 0)
			}
		}
	}
	requireAtRest(t, x)
}

// What only looks like it goes through.
func TestTxSendsWhatDoesNotEndIt(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	for key, all := range map[string][]string{
		"":     {"SAVEPOINT a", "ROLLBACK TO a", "ROLLBACK WORK TO SAVEPOINT a", "RELEASE a", "CREATE TABLE made (id int)", "PREPARE p AS SELECT 1", "DEALLOCATE p"},
		"auth": {"SAVEPOINT a", "ROLLBACK TO SAVEPOINT a", "CREATE TEMPORARY TABLE made (id int)", "CREATE OR REPLACE TEMPORARY TABLE made (id int)", "DROP TEMPORARY TABLE made", "BEGIN NOT ATOMIC SET @a = 1; END"},
		"meta": {"SAVEPOINT a", "ROLLBACK TO a", "CREATE TABLE made (id int)", "DROP TABLE made"},
	} {
		require.NoError(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			for _, query := range all {
				require.NoError(t, ran(tx.Bind(key).ExecContext(ctx, query)), query)
			}
			return nil
		}))
	}
	requireAtRest(t, x)
}

// A transaction that was ended all the same is not told as committed. MySQL
// executes such comments.
func TestTxThatWasEndedIsNotCommitted(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	for name, after := range map[string]func(context.Context, *echobun.Session) error{
		"commit":    func(context.Context, *echobun.Session) error { return nil },
		"statement": func(ctx context.Context, tx *echobun.Session) error { return insertAll(ctx, tx, "later") },
		"rollback":  func(context.Context, *echobun.Session) error { return errOfFn },
	} {
		err := s.RunInTx(ctx, &echobun.TxOptions{Order: []string{"auth"}}, func(ctx context.Context, tx *echobun.Session) error {
			require.NoError(t, insertAll(ctx, tx, name))
			require.NoError(t, ran(tx.Bind("auth").ExecContext(ctx, "/*! ROLLBACK */")))
			return after(ctx, tx)
		})
		require.ErrorContains(t, err, "has ended it on the server", name)
		require.ErrorContains(t, err, `bind "auth"`)
		require.ErrorIs(t, err, echobun.ErrOutcomeUnknown)
		requireNamed(t, x, name, 0, 0, 0)
		requireNamed(t, x, "later", 0, 0, 0)
		requireAtRest(t, x)
	}
}

// On an engine of the application's own, the session looks.
func TestTxRefusesWhatWouldEndItOnOnesOwn(t *testing.T) {
	t.Parallel()
	sqldb, err := sql.Open("sqlite", "file:"+t.TempDir()+"/own.db")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sqldb.Close()) })
	x := newExtension(t, echobun.Config{EngineOptions: echobun.EngineOptions{DB: bun.NewDB(sqldb, sqlitedialect.New())}}, (*Debit)(nil))
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	err = s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		require.NoError(t, ran(tx.NewInsert().Model(&Debit{Name: "half"}).Exec(ctx)))
		require.ErrorContains(t, ran(tx.NewRaw("COMMIT").Exec(ctx)), "COMMIT would end the transaction on this bind alone")
		return nil
	})
	require.ErrorIs(t, err, echobun.ErrTxDoomed)
	n, err := s.NewSelect().Model((*Debit)(nil)).Count(ctx)
	require.NoError(t, err)
	require.Zero(t, n)
}

// A script ends a part of a two-phase transaction on PostgreSQL. What it did is
// there, so nothing else may be told.
func TestTwoPhaseThatWasEnded(t *testing.T) {
	t.Parallel()
	for name, order := range map[string][]string{"coordinator": nil, "participant": {"auth"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newCutBank(t)
			ctx, s := newSession(t, b.x)
			opts := &echobun.TxOptions{TwoPhase: true, Order: order}
			err := s.RunInTx(ctx, opts, func(ctx context.Context, tx *echobun.Session) error {
				if err := ran(tx.NewRaw("INSERT INTO debits (name) VALUES ('script'); COMMIT").Exec(ctx)); err != nil {
					return err
				}
				return ran(tx.NewInsert().Model(&Credit{Name: "script"}).Exec(ctx))
			})
			require.ErrorIs(t, err, echobun.ErrOutcomeUnknown)
			require.ErrorContains(t, err, "has ended it on the server")
			b.recover(t, b.x)
			_, credits := b.counts(t, "script")
			require.Zero(t, credits)
			require.Empty(t, b.prepared(t, "auth"))
			requireAtRest(t, b.x)
		})
	}
}
