package echobun_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

type homePost struct {
	bun.BaseModel `bun:"table:home_posts"`

	ID       int64 `bun:",pk,autoincrement"`
	AuthorID int64
}

type homeUser struct {
	bun.BaseModel `bun:"table:home_users"`
	authModel

	ID   int64 `bun:",pk,autoincrement"`
	Name string
}

// homePostDTO is another view of home_posts that nobody registers.
type homePostDTO struct {
	bun.BaseModel `bun:"table:home_posts"`

	ID       int64 `bun:",pk,autoincrement"`
	AuthorID int64
	Author   *homeUser `bun:"rel:belongs-to,join:author_id=id"`
}

// TestRelationLeavesItsBindNowhere has a table of the same name on the wrong
// database, and a model that only Bind, For and a transaction see.
func TestRelationLeavesItsBindNowhere(t *testing.T) {
	t.Parallel()

	x := newExtension(t, echobun.Config{
		DatabaseURI: sqliteURL(t), Binds: echobun.Binds{"auth": {URL: sqliteURL(t)}},
	}, (*homePost)(nil), (*homeUser)(nil))
	ctx, db := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	_, err := db.Bind("").ExecContext(ctx, "CREATE TABLE home_users (id integer, name text)")
	require.NoError(t, err)

	const want = "does not have relation"
	for name, idb := range map[string]bun.IDB{"Bind": db.Bind(""), "For": db.For((*homePost)(nil)), "Engine": x.Engine()} {
		var dtos []homePostDTO
		require.ErrorContains(t, idb.NewSelect().Model(&dtos).Relation("Author").Scan(ctx), want, name)
	}
	err = db.Bind("").RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		var dtos []homePostDTO
		return tx.NewSelect().Model(&dtos).Relation("Author").Scan(ctx)
	})
	require.ErrorContains(t, err, want)
}

// TestRelationsWhileRegistering uses a model through Bind while it is routed
// for the first time and registered; the race detector watches.
func TestRelationsWhileRegistering(t *testing.T) {
	t.Parallel()

	x := newExtension(t, echobun.Config{DatabaseURI: "sqlite://", Binds: echobun.Binds{"auth": {URL: "sqlite://"}}})
	ctx, db := newSession(t, x)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				_ = db.Bind("").NewSelect().Model((*homePostDTO)(nil)).Relation("Author").Scan(ctx)
			}
		})
		wg.Go(func() { _ = db.NewSelect().Model((*homePostDTO)(nil)).Relation("Author").Scan(ctx) })
	}
	wg.Go(func() { require.NoError(t, x.Register((*homePostDTO)(nil), (*homeUser)(nil))) })
	wg.Wait()
}

type (
	chainA struct {
		bun.BaseModel `bun:"table:as"`
		ID            int64     `bun:",pk"`
		Bs            []*chainB `bun:"m2m:js,join:A=B"`
	}
	chainB struct {
		bun.BaseModel `bun:"table:bs"`
		ID            int64 `bun:",pk"`
	}
	chainJ struct {
		bun.BaseModel `bun:"table:js"`
		AID           int64     `bun:"a_id,pk"`
		A             *chainA   `bun:"rel:belongs-to,join:a_id=id"`
		BID           int64     `bun:"b_id,pk"`
		B             *chainB   `bun:"rel:belongs-to,join:b_id=id"`
		Cs            []*chainC `bun:"m2m:ks,join:J=C"`
	}
	chainC struct {
		bun.BaseModel `bun:"table:cs"`
		ID            int64 `bun:",pk"`
	}
	chainK struct {
		bun.BaseModel `bun:"table:ks"`
		AID           int64   `bun:"a_id,pk"`
		BID           int64   `bun:"b_id,pk"`
		J             *chainJ `bun:"rel:belongs-to,join:a_id=a_id,join:b_id=b_id"`
		CID           int64   `bun:"c_id,pk"`
		C             *chainC `bun:"rel:belongs-to,join:c_id=id"`
	}
)

// TestJoinModelWithJoinsOfItsOwn registers in orders in which Bun would panic.
func TestJoinModelWithJoinsOfItsOwn(t *testing.T) {
	t.Parallel()

	a, b, j, c, k := (*chainA)(nil), (*chainB)(nil), (*chainJ)(nil), (*chainC)(nil), (*chainK)(nil)
	for _, models := range [][]any{{k, j, c, a, b}, {a, b, j, c, k}, {j, a, k, b, c}} {
		x := newExtension(t, echobun.Config{DatabaseURI: "sqlite://"}, models...)
		ctx, db := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		var as []chainA
		require.NoError(t, db.NewSelect().Model(&as).Relation("Bs").Scan(ctx))
		require.Error(t, db.Bind("nowhere").NewSelect().Model(&as).Relation("Bs").Scan(ctx))
	}
}

type (
	misusedA struct {
		bun.BaseModel `bun:"table:misused"`
		ID            int64     `bun:",pk"`
		BID           int64     `bun:"b_id"`
		B             *chainB   `bun:"rel:belongs-to,join:b_id=id"` // Built before Bs panics.
		Bs            []*chainB `bun:"m2m:misused_js,join:A=B"`
	}
	misusedJ struct {
		bun.BaseModel `bun:"table:misused_js"`
		AID           int64     `bun:"a_id,pk"`
		A             *misusedA `bun:"rel:belongs-to,join:a_id=id"`
		BID           int64     `bun:"b_id,pk"`
		B             *chainB   `bun:"rel:belongs-to,join:b_id=id"`
	}
)

// TestRegisterAfterMisuse has Bun's registry broken before Register, on an
// engine of the application's own, whose registry is not this package's to renew.
func TestRegisterAfterMisuse(t *testing.T) {
	t.Parallel()

	own := newExtension(t, echobun.Config{DatabaseURI: "sqlite://"}).Engine()
	x := newExtension(t, echobun.Config{EngineOptions: echobun.EngineOptions{DB: own}})
	ctx, db := newSession(t, x)
	require.Panics(t, func() { _ = db.Bind("").NewSelect().Model(new([]misusedA)).Scan(ctx) })

	err := x.Register((*misusedA)(nil), (*chainB)(nil), (*misusedJ)(nil))
	var fault *echobun.ModelError
	require.ErrorAs(t, err, &fault)
	require.ErrorContains(t, err, "used through Bind or an engine before it was registered")
	require.Empty(t, x.Metadata().Tables())
}

// TestChangedCopyIsNotRegistered would otherwise be swallowed.
func TestChangedCopyIsNotRegistered(t *testing.T) {
	t.Parallel()

	table := &echobun.Table{Name: "audit", Columns: []echobun.Column{{Name: "id", Type: echobun.Integer}}}
	x := newExtension(t, echobun.Config{DatabaseURI: "sqlite://"}, table)
	same, _ := x.Metadata().Table("audit")
	require.NoError(t, x.Register(same))

	changed, _ := x.Metadata().Table("audit")
	changed.Name = "audit_archive"
	var fault *echobun.ModelError
	require.ErrorAs(t, x.Register(changed), &fault)
	require.ErrorContains(t, fault, `"audit"`)
}

// TestNoColumns covers a type that is a struct and no model.
func TestNoColumns(t *testing.T) {
	t.Parallel()

	x := newExtension(t, echobun.Config{DatabaseURI: "sqlite://"})
	require.ErrorContains(t, x.Register((*time.Time)(nil)), "no columns")
}

// TestSwappedKeyAndURL must not show the password that stands in the key.
func TestSwappedKeyAndURL(t *testing.T) {
	t.Parallel()

	const secret = "M4rkerSecret"
	cfg := echobun.Config{Binds: echobun.Binds{"postgresql://app:" + secret + "@db/app": {URL: "auth"}}}
	_, err := echobun.New(cfg)
	require.ErrorContains(t, err, "swapped")
	text, jsonErr := json.Marshal(cfg)
	require.NoError(t, jsonErr)
	var decoded echobun.Config
	decodeErr := json.Unmarshal([]byte(`{"postgresql://app:`+secret+`@db/app": 1}`), &decoded)
	require.Error(t, decodeErr)
	for _, shown := range []string{err.Error(), string(text), fmt.Sprintf("%v %+v %#v", cfg, cfg, cfg), decodeErr.Error()} {
		require.NotContains(t, shown, secret)
	}
	unknown := &echobun.UnknownBindError{Key: "x", Known: []string{"mysql://u:" + secret + "@h/d"}}
	require.NotContains(t, unknown.Error(), secret)
}

// TestAppContextFromOutside has a server whose base context carries an app
// context: requests must not share its session.
func TestAppContextFromOutside(t *testing.T) {
	t.Parallel()

	x := newExtension(t, echobun.Config{DatabaseURI: "sqlite://"})
	base, shared := newSession(t, x)
	e := echo.New()
	var sessions []any
	e.Use(x.Middleware())
	e.GET("/", func(c echo.Context) error {
		sessions = append(sessions, c.Get("db"))
		return nil
	})
	for range 2 {
		e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil).WithContext(base))
	}
	require.Len(t, sessions, 2)
	require.NotSame(t, sessions[0], sessions[1])
	require.NotSame(t, shared, sessions[0])
}

// TestRunInTxEnded has the app context end inside the transaction.
func TestRunInTxEnded(t *testing.T) {
	t.Parallel()

	x := newExtension(t, echobun.Config{DatabaseURI: "sqlite://"})
	ctx, end := x.AppContext(t.Context())
	db, err := x.Session(ctx)
	require.NoError(t, err)
	err = db.Bind("").RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		end()
		require.Eventually(t, func() bool {
			_, err := tx.ExecContext(ctx, "SELECT 1")
			return errors.Is(err, sql.ErrTxDone)
		}, 5*time.Second, time.Millisecond)
		_, err := tx.ExecContext(ctx, "SELECT 1")
		return err
	})
	require.ErrorIs(t, err, echobun.ErrAppContextEnded)
}

// TestOwnEngineTransactionErrors are of one kind too.
func TestOwnEngineTransactionErrors(t *testing.T) {
	t.Parallel()

	first := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t)})
	x := newExtension(t, echobun.Config{EngineOptions: echobun.EngineOptions{DB: first.Engine()}})
	ctx, db := newSession(t, x)
	_, err := db.Bind("").ExecContext(ctx, "CREATE TABLE once (id integer PRIMARY KEY)")
	require.NoError(t, err)
	err = db.Bind("").RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO once (id) VALUES (1), (1)")
		return err
	})
	require.ErrorIs(t, err, echobun.ErrUnique)
}

// TestClosedWhileWaiting has a call in the queue of a pool that is closed.
func TestClosedWhileWaiting(t *testing.T) {
	t.Parallel()

	x, err := echobun.New(echobun.Config{EngineOptions: echobun.EngineOptions{URL: sqliteURL(t), MaxOpenConns: 1}})
	require.NoError(t, err)
	ctx, db := newSession(t, x)
	conn, err := x.Engine().Conn(ctx)
	require.NoError(t, err)

	waited := make(chan error)
	go func() { waited <- db.NewRaw("SELECT 1").Scan(ctx, new(int)) }()
	require.Eventually(t, func() bool { return x.Engine().Stats().WaitCount > 0 }, 5*time.Second, time.Millisecond)
	require.NoError(t, x.Close())
	require.ErrorIs(t, <-waited, echobun.ErrClosed)
	_ = conn.Close()
}

// TestNilContexts are misuse that says so at once.
func TestNilContexts(t *testing.T) {
	t.Parallel()

	x := newExtension(t, echobun.Config{DatabaseURI: "sqlite://"})
	var none context.Context
	require.PanicsWithValue(t, "echobun: AppContext from a nil context", func() { x.AppContext(none) })
	_, err := x.Session(none)
	require.ErrorIs(t, err, echobun.ErrNoAppContext)
}
