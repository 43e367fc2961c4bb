package echobun_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

// prepareByHand prepares a transaction with a row in debits, under any ID.
func prepareByHand(t *testing.T, x *echobun.Extension, id, name string) {
	t.Helper()
	conn, err := x.Engine().Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	for _, query := range []string{"BEGIN", "INSERT INTO debits (name) VALUES ('" + name + "')", "PREPARE TRANSACTION '" + id + "'"} {
		_, err := conn.ExecContext(t.Context(), query)
		require.NoError(t, err)
	}
}

func TestRecoverLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	cfg := threeDatabases(t)
	cfg.AppName, cfg.Logger = "mine", slog.New(slog.NewTextHandler(&out, nil))
	x := newExtension(t, cfg, txModels()...)
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	require.NoError(t, s.RunInTx(ctx, inTwoPhases, func(ctx context.Context, tx *echobun.Session) error { return insertAll(ctx, tx, "x") }))
	home := x.LogHome("")

	tx := echobun.NewTxID
	left := []string{
		"by hand", "echobun/other/" + tx() + "/" + home + "/~", "echobun/mine/" + tx() + "/gone@12345678/~", "echobun/mine/" + tx() + "/~@12345678/~",
		"echobun/mine/" + tx() + "/" + home + "/elsewhere", "echobun/mine/t''x/" + home + "/~",
	}
	for i, id := range left {
		prepareByHand(t, x, id, "left "+string(rune('a'+i)))
	}
	t.Cleanup(func() {
		for _, id := range left {
			_, err := x.Engine().ExecContext(context.Background(), "ROLLBACK PREPARED '"+strings.ReplaceAll(id, "'", "''")+"'")
			require.NoError(t, err)
		}
	})
	decided, pointed := tx(), tx()
	prepareByHand(t, x, "echobun/mine/"+tx()+"/"+home+"/~", "undecided")
	prepareByHand(t, x, "echobun/mine/"+decided+"/"+home+"/~", "decided")
	prepareByHand(t, x, "echobun/mine/"+pointed+"/"+x.LogHome("auth")+"/~", "pointed")
	for key, row := range map[string]string{"": "'mine/" + decided + "', 'commit', '~', 0", "auth": "'mine/" + pointed + "', 'see " + home + "', '~', 0"} {
		_, err := x.Engines()[key].ExecContext(ctx, "INSERT INTO echobun_commits VALUES ("+row+")")
		require.NoError(t, err)
	}
	_, err := x.Engine().ExecContext(ctx, "INSERT INTO echobun_commits VALUES ('mine/"+pointed+"', 'commit', '~', 0)")
	require.NoError(t, err)

	report, err := x.RecoverPrepared(ctx)
	require.NoError(t, err)
	require.Equal(t, map[string]int{"": 2}, report.Committed)
	require.Equal(t, map[string]int{"": 1}, report.RolledBack)
	require.Equal(t, map[string]int{"": 2}, report.InDoubt)
	require.Equal(t, "recovered: default bind: 2 committed, 1 rolled back, 2 in doubt", report.String())
	require.Contains(t, out.String(), "gone@12345678")
	for i := range left {
		left[i] = strings.ReplaceAll(left[i], "''", "'")
	}
	require.ElementsMatch(t, left, preparedOn(t, x, ""))
	requireNamed(t, x, "decided", 1, 0, 0)
	requireNamed(t, x, "pointed", 1, 0, 0)
	requireNamed(t, x, "undecided", 0, 0, 0)
	for key := range x.Engines() {
		var rows []string
		require.NoError(t, s.Bind(key).NewRaw("SELECT id FROM echobun_commits WHERE id <> 'installation'").Scan(ctx, &rows))
		require.Empty(t, rows, key)
	}
}

// While a transaction is between its prepares and its decision, recovery waits
// for it and lets it win.
func TestRecoverBesideATransaction(t *testing.T) {
	t.Parallel()
	held, release := make(chan struct{}), make(chan struct{})
	cfg := threeDatabases(t)
	delete(cfg.Binds, "meta")
	auth := cfg.Binds["auth"]
	auth.Hooks = []bun.QueryHook{&holdHook{held: held, release: release}}
	plain := echobun.Config{AppName: cfg.AppName, DatabaseURI: cfg.DatabaseURI, Binds: echobun.Binds{"auth": {URL: auth.URL}}}
	cfg.Binds["auth"] = auth
	x := newExtension(t, cfg, (*Debit)(nil), (*Credit)(nil))
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	answer := make(chan error, 1)
	go func() {
		opts := &echobun.TxOptions{TwoPhase: true, Order: []string{"auth"}}
		answer <- s.RunInTx(context.WithValue(ctx, valueKey{}, "hold"), opts, func(ctx context.Context, tx *echobun.Session) error {
			if _, err := tx.NewInsert().Model(&Debit{Name: "x"}).Exec(ctx); err != nil {
				return err
			}
			_, err := tx.NewInsert().Model(&Credit{Name: "x"}).Exec(ctx)
			return err
		})
	}()
	<-held // At the COMMIT of MariaDB: PostgreSQL has prepared, and anybody could end that.
	other := newExtension(t, plain, (*Debit)(nil), (*Credit)(nil))
	recovered := make(chan error, 1)
	go func() {
		_, err := other.RecoverPrepared(ctx)
		recovered <- err
	}()
	time.Sleep(time.Second) // The claim waits meanwhile: the transaction takes too long to be left alone.
	close(release)
	require.NoError(t, <-answer)
	require.NoError(t, <-recovered)
	for _, model := range []any{(*Debit)(nil), (*Credit)(nil)} {
		n, err := s.NewSelect().Model(model).Count(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 1, n, "%T", model)
	}
	require.Empty(t, preparedOn(t, x, ""))
}

// holdHook holds the COMMIT of a transaction with a mark in its context.
type holdHook struct{ held, release chan struct{} }

func (h *holdHook) BeforeQuery(ctx context.Context, event *bun.QueryEvent) context.Context {
	if event.Query == "COMMIT" && ctx.Value(valueKey{}) == "hold" {
		close(h.held)
		<-h.release
	}
	return ctx
}

func (h *holdHook) AfterQuery(context.Context, *bun.QueryEvent) {}

func TestRecoverErrors(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{
		DatabaseURI: dbtest.Postgres(t).URL(), Binds: echobun.Binds{"auth": {URL: "mysql://127.0.0.1:1/none"}, "meta": {URL: sqliteURL(t)}},
		AppName: "down", Logger: slog.New(slog.DiscardHandler),
	}, txModels()...)
	report, err := x.RecoverPrepared(t.Context())
	var bindErr *echobun.BindError
	require.ErrorAs(t, err, &bindErr)
	require.Equal(t, "auth", bindErr.Bind)
	require.ErrorIs(t, err, echobun.ErrUnavailable)
	require.Equal(t, "recovered: nothing", report.String())
	require.NoError(t, x.Close())
	_, err = x.RecoverPrepared(t.Context())
	require.ErrorIs(t, err, echobun.ErrClosed)
}

// Recovery does not wait for the pools: what holds their connections may wait
// for the locks of what is to be recovered.
func TestRecoverOnFullPools(t *testing.T) {
	t.Parallel()
	cfg := threeDatabases(t)
	cfg.Defaults.MaxOpenConns = 1
	x := newExtension(t, cfg, txModels()...)
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	require.NoError(t, s.RunInTx(ctx, &echobun.TxOptions{TwoPhase: true}, func(ctx context.Context, tx *echobun.Session) error {
		return insertAll(ctx, tx, "first")
	}))
	for _, db := range x.Engines() {
		conn, err := db.Conn(ctx)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, conn.Close()) })
	}
	report, err := x.RecoverPrepared(ctx)
	require.NoError(t, err)
	require.Equal(t, "recovered: nothing", report.String())
}
