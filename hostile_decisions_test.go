package echobun_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/hostile"
)

// hostileRows are texts that want out of a statement about a decision, on some
// database.
func hostileRows(t *testing.T) []string {
	t.Helper()
	rows := []string{
		"x'; DROP TABLE canary; --", "x'', ''y'', ''''); DELETE FROM canary; --", "x' OR '1' = '1", `x\'; DROP TABLE canary; -- `,
		"x' UNION SELECT 'mine", "x?", "x$1", "x\n", "x ", "x`", `x"`, "", "~", "x/y", "mine/x",
	}
	for _, payload := range hostile.Payloads(t, 30) {
		if len(payload) <= 50 && !strings.Contains(payload, "\x00") {
			rows = append(rows, payload)
		}
	}
	return rows
}

// Whoever may write to the table of decisions writes rows, and no SQL: what is
// read there is sent as arguments, or not at all.
func TestHostileDecisions(t *testing.T) {
	t.Parallel()
	for name, dsn := range hostileDatabases {
		if name == "memory" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			x := newExtension(t, echobun.Config{DatabaseURI: dsn(t), AppName: "mine", Logger: slog.New(slog.NewTextHandler(&out, nil))}, (*canary)(nil))
			ctx, db := newSession(t, x)
			require.NoError(t, x.CreateAll(ctx))
			require.NoError(t, ran(db.NewInsert().Model(&canary{ID: 1}).Exec(ctx)))
			require.NoError(t, ran(db.Bind("").ExecContext(ctx, echobun.CommitLogDDL)))
			write := func(id, decision, binds string) {
				_ = ran(db.Bind("").ExecContext(ctx, "INSERT INTO echobun_commits VALUES (?, ?, ?, 0)", id, decision, binds)) // Some are one id to MariaDB.
			}
			write("installation", "0badcafe", "")
			for _, evil := range hostileRows(t) {
				write("mine/"+evil, "commit", "")
				write("mine/"+echobun.NewTxID(), evil, "")
				write("mine/"+echobun.NewTxID(), "see "+evil, "")
				write("mine/"+echobun.NewTxID(), "see ~@"+evil, "")
				write("mine/"+echobun.NewTxID(), "commit", evil)
			}
			for range 3 {
				report, err := x.RecoverPrepared(ctx)
				require.NoError(t, err)
				require.Equal(t, "recovered: nothing", report.String())
			}
			requireCanary(ctx, t, db)
			require.Contains(t, out.String(), "rows that this library has not written")
			requireAtRest(t, x)
		})
	}
}

// The name of an installation goes into the IDs of other servers' transactions.
func TestHostileInstallation(t *testing.T) {
	t.Parallel()
	for _, bind := range []string{"", "auth", "meta"} {
		t.Run(bind, func(t *testing.T) {
			t.Parallel()
			cfg := threeDatabases(t)
			x := newExtension(t, cfg, append(txModels(), (*canary)(nil))...)
			ctx, s := newSession(t, x)
			require.NoError(t, x.CreateAll(ctx))
			require.NoError(t, ran(s.NewInsert().Model(&canary{ID: 1}).Exec(ctx)))
			require.NoError(t, ran(s.Bind(bind).ExecContext(ctx, echobun.CommitLogDDL)))
			for _, evil := range []string{
				"x', 'y', SLEEP(9) -- ", "x'; DROP TABLE canary; --", "0badcafe'", "0BADCAFE", "0badcaf", "0badcafe ", "", "~",
			} {
				require.NoError(t, ran(s.Bind(bind).ExecContext(ctx, "DELETE FROM echobun_commits")))
				require.NoError(t, ran(s.Bind(bind).ExecContext(ctx, "INSERT INTO echobun_commits VALUES ('installation', ?, '', 0)", evil)))
				err := s.RunInTx(ctx, &echobun.TxOptions{TwoPhase: true, Order: []string{bind}}, func(ctx context.Context, tx *echobun.Session) error {
					if bind == "meta" {
						return insertAll(ctx, tx, evil)
					}
					return transact(ctx, tx, nil, evil) // SQLite would decide.
				})
				require.ErrorIs(t, err, echobun.ErrTwoPhase, "%q", evil)
				require.ErrorContains(t, err, "none that this library has written", "%q", evil)
				requireNamed(t, x, evil, 0, 0, 0)
				_, err = x.RecoverPrepared(ctx)
				var bindErr *echobun.BindError
				require.ErrorAs(t, err, &bindErr, "%q", evil)
				require.Equal(t, bind, bindErr.Bind)
				require.ErrorContains(t, err, "none that this library has written", "%q", evil)
			}
			requireCanary(ctx, t, s)
			requireAtRest(t, x)
		})
	}
}
