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
	always := []string{
		"COMMIT", "ROLLBACK", "BEGIN", "/* c */ commit", "\n-- c\nrollback work", "COMMIT AND CHAIN",
		"SELECT 1; COMMIT; BEGIN", "SELECT ';'; ROLLBACK; BEGIN", "SAVEPOINT a; COMMIT AND CHAIN",
	}
	for key, more := range map[string][]string{
		"": {"END", "ABORT", "PREPARE TRANSACTION 'x'"},
		"auth": {
			"START TRANSACTION", "CREATE TABLE ended (id int)", "TRUNCATE TABLE credits", "ALTER TABLE credits COMMENT 'x'",
			"DROP TABLE IF EXISTS nothing", "LOCK TABLES credits WRITE", "XA START 'x'", "/*! ROLLBACK */",
			"BEGIN NOT ATOMIC COMMIT; START TRANSACTION; END", "SELECT 1; DROP TABLE nothing", "SET autocommit = 1",
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

// endedInside are statements on MariaDB whose text does not show that they end
// the transaction, some of which begin another one.
var endedInside = map[string]string{
	"rolled back": "EXECUTE IMMEDIATE 'ROLLBACK'",
	"committed":   "EXECUTE IMMEDIATE 'COMMIT'",
	"procedure":   "CALL ends_commit()",
	"compound":    "BEGIN NOT ATOMIC DECLARE c TEXT DEFAULT 'COMMIT AND CHAIN'; EXECUTE IMMEDIATE c; END",
	"prepared":    "EXECUTE ends",
}

// A transaction that was ended all the same is told neither as committed nor as
// rolled back, also where the statement has begun another one.
func TestTxThatWasEndedIsNotCommitted(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	require.NoError(t, ran(s.Bind("auth").ExecContext(ctx, "CREATE PROCEDURE ends_commit() BEGIN COMMIT; START TRANSACTION; END")))
	for name, query := range endedInside {
		for how, after := range map[string]func(context.Context, *echobun.Session) error{
			"commit":    func(context.Context, *echobun.Session) error { return nil },
			"statement": func(ctx context.Context, tx *echobun.Session) error { return insertAll(ctx, tx, "later") },
			"rollback":  func(context.Context, *echobun.Session) error { return errOfFn },
			"nested": func(ctx context.Context, tx *echobun.Session) error {
				return tx.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error { return insertAll(ctx, tx, "later") })
			},
		} {
			row := name + " " + how
			err := s.RunInTx(ctx, &echobun.TxOptions{Order: []string{"auth"}}, func(ctx context.Context, tx *echobun.Session) error {
				require.NoError(t, insertAll(ctx, tx, row))
				require.NoError(t, ran(tx.Bind("auth").ExecContext(ctx, "PREPARE ends FROM 'COMMIT AND CHAIN'")))
				require.NoError(t, ran(tx.Bind("auth").ExecContext(ctx, query)), row)
				return after(ctx, tx)
			})
			require.ErrorContains(t, err, "has ended it on the server", row)
			require.ErrorContains(t, err, `bind "auth"`)
			require.ErrorIs(t, err, echobun.ErrOutcomeUnknown)
			n, err := s.NewSelect().Model((*Debit)(nil)).Where("name IN (?, 'later')", row).Count(ctx)
			require.NoError(t, err)
			require.Zero(t, n, row)
			requireAtRest(t, x)
		}
	}
}

// What may end the transaction, and does not, harms nothing; a deadlock inside of
// it stays one.
func TestTxSeesThatAProcedureDoesNotEndIt(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	auth := s.Bind("auth")
	require.NoError(t, ran(auth.ExecContext(ctx, "CREATE PROCEDURE writes(n TEXT) INSERT INTO credits (name) VALUES (n)")))
	require.NoError(t, ran(auth.ExecContext(ctx, "CREATE PROCEDURE deadlocks() SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213")))
	require.NoError(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		for _, query := range []string{
			"CALL writes('a')", "BEGIN NOT ATOMIC CALL writes('b'); END", "SET STATEMENT max_statement_time = 9 FOR CALL writes('c')",
			"EXECUTE IMMEDIATE 'SELECT 1'",
		} {
			require.NoError(t, ran(tx.Bind("auth").ExecContext(ctx, query)), query)
		}
		require.NoError(t, closeRows(tx.Bind("auth").QueryContext(ctx, "CALL writes('d')")))
		return tx.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			return ran(tx.Bind("auth").ExecContext(ctx, "CALL writes('e')"))
		})
	}))
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		requireNamed(t, x, name, 0, 1, 0)
	}
	err := s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		return ran(tx.Bind("auth").ExecContext(ctx, "CALL deadlocks()"))
	})
	require.ErrorIs(t, err, echobun.ErrSerialization)
	require.NotErrorIs(t, err, echobun.ErrOutcomeUnknown)
	requireAtRest(t, x)
}

// A statement that was prepared before the transaction, and would end it, is
// refused in it on every database, and it is on an engine of the application's own.
func TestTxRefusesWhatWasPreparedBefore(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	for _, key := range []string{"auth", "meta"} {
		stmt, err := x.Engines()[key].DB.PrepareContext(ctx, "ROLLBACK") //nolint:sqlclosecheck // It is closed below, before the next one.
		require.NoError(t, err, key)
		err = s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			require.NoError(t, insertAll(ctx, tx, "half"))
			return tx.Bind(key).RunInTx(ctx, nil, func(ctx context.Context, btx bun.Tx) error {
				return ran(btx.Tx.StmtContext(ctx, stmt).ExecContext(ctx)) //nolint:sqlclosecheck // Its end is the transaction's.
			})
		})
		require.ErrorContains(t, err, "ROLLBACK would end the transaction", key)
		requireNamed(t, x, "half", 0, 0, 0)
		require.NoError(t, stmt.Close())
	}
	requireAtRest(t, x)
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

// A script that would end a part of a two-phase transaction is refused there,
// too, and so is one in a nested transaction.
func TestTwoPhaseRefusesAScriptThatWouldEndIt(t *testing.T) {
	t.Parallel()
	for name, order := range map[string][]string{"coordinator": nil, "participant": {"auth"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newCutBank(t)
			ctx, s := newSession(t, b.x)
			opts := &echobun.TxOptions{TwoPhase: true, Order: order}
			err := s.RunInTx(ctx, opts, func(ctx context.Context, tx *echobun.Session) error {
				require.NoError(t, ran(tx.NewInsert().Model(&Credit{Name: "script"}).Exec(ctx)))
				return tx.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
					return ran(tx.NewRaw("INSERT INTO debits (name) VALUES ('script'); COMMIT; BEGIN").Exec(ctx))
				})
			})
			require.ErrorContains(t, err, "COMMIT would end the transaction")
			require.NotErrorIs(t, err, echobun.ErrOutcomeUnknown)
			debits, credits := b.counts(t, "script")
			require.Zero(t, debits+credits)
			require.Empty(t, b.prepared(t, "auth"))
			requireAtRest(t, b.x)
		})
	}
}
