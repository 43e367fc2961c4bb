package echobun_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"

	"github.com/labstack/echo/v4"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// The examples run on databases in memory, one for each bind.
var exampleConfig = echobun.Config{
	DatabaseURI: "sqlite://",
	Binds:       echobun.Binds{"auth": {URL: "sqlite://"}},
}

// Article is on the default bind.
type Article struct {
	ID    int64 `bun:",pk,autoincrement"`
	Title string
}

// OnAuth puts every model that embeds it on the bind "auth".
type OnAuth struct{}

// BindKey implements echobun.BindKeyer.
func (OnAuth) BindKey() string { return "auth" }

// Member is on the bind "auth".
type Member struct {
	bun.BaseModel `bun:"table:members"`
	OnAuth

	ID   int64  `bun:",pk,autoincrement"`
	Name string `bun:",notnull,unique"`
}

// Logins is a table without a struct, on "auth" too.
var Logins = &echobun.Table{
	Name:    "logins",
	BindKey: "auth",
	Columns: []echobun.Column{
		{Name: "id", Type: echobun.BigInteger, PrimaryKey: true, AutoIncrement: true},
		{Name: "member_id", Type: echobun.BigInteger, NotNull: true, References: "members.id"},
		{Name: "address", Type: echobun.String(45), NotNull: true},
	},
}

// exampleSession returns a session with all tables made.
func exampleSession() (ctx context.Context, db *echobun.Session, done func()) {
	ext := must(echobun.New(exampleConfig))
	check(ext.Register((*Article)(nil), (*Member)(nil), Logins))
	ctx, end := ext.AppContext(context.Background())
	check(ext.CreateAll(ctx))
	return ctx, must(ext.Session(ctx)), func() {
		end()
		check(ext.Close())
	}
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func ExampleNew() {
	ext, err := echobun.New(echobun.Config{
		DatabaseURI: "sqlite://",
		Binds: echobun.Binds{
			"auth": {URL: "sqlite://", MaxOpenConns: 10},
		},
	})
	if err != nil {
		panic(err)
	}
	defer ext.Close()

	for key, db := range ext.Engines() {
		if key == "auth" {
			fmt.Println(db.Dialect().Name(), db.Stats().MaxOpenConnections)
		}
	}
	// Output: sqlite 10
}

func ExampleNew_mistakes() {
	_, err := echobun.New(echobun.Config{
		Binds: echobun.Binds{"auth": {URL: "oracle://scott:tiger@db/app"}},
	})
	var fault *echobun.ConfigError
	if errors.As(err, &fault) {
		fmt.Println(fault.Bind, fault.Field)
	}
	// Output: auth URL
}

func ExampleConfig_json() {
	var cfg echobun.Config
	check(json.Unmarshal([]byte(`{
		"SQLALCHEMY_DATABASE_URI": "sqlite://",
		"SQLALCHEMY_BINDS": {
			"auth": {"url": "mysql://app:secret@localhost/users", "pool_recycle": 3600}
		}
	}`), &cfg))

	fmt.Println(cfg.Binds["auth"].ConnMaxLifetime)
	// Output: 1h0m0s
}

func ExampleExtension_Register() {
	ext := must(echobun.New(exampleConfig))
	defer ext.Close()

	check(ext.Register((*Article)(nil), (*Member)(nil), Logins))
	for _, key := range []string{echobun.DefaultBind, "auth"} {
		for _, t := range ext.Metadatas()[key].Tables() {
			fmt.Printf("%q %s\n", key, t.Name)
		}
	}
	// Output:
	// "" articles
	// "auth" members
	// "auth" logins
}

func ExampleExtension_CreateAll() {
	ext := must(echobun.New(exampleConfig))
	defer ext.Close()
	check(ext.Register((*Article)(nil), (*Member)(nil)))

	fmt.Println(errors.Is(ext.CreateAll(context.Background()), echobun.ErrNoAppContext))

	ctx, end := ext.AppContext(context.Background())
	defer end()
	fmt.Println(ext.CreateAll(ctx, "auth"))
	fmt.Println(ext.CreateAll(ctx))
	// Output:
	// true
	// <nil>
	// <nil>
}

func ExampleExtension_AppContext() {
	ext := must(echobun.New(exampleConfig))
	defer ext.Close()

	ctx, end := ext.AppContext(context.Background())
	db, err := ext.Session(ctx)
	fmt.Println(db != nil, err)

	end()
	_, err = ext.Session(ctx)
	fmt.Println(errors.Is(err, echobun.ErrAppContextEnded))
	// Output:
	// true <nil>
	// true
}

func ExampleExtension_Middleware() {
	ext := must(echobun.New(exampleConfig))
	defer ext.Close()
	check(ext.Register((*Article)(nil), (*Member)(nil)))
	ctx, end := ext.AppContext(context.Background())
	check(ext.CreateAll(ctx))
	end()

	e := echo.New()
	e.Use(ext.Middleware())
	e.POST("/members/:name", func(c echo.Context) error {
		db := c.Get("db").(*echobun.Session) //nolint:errcheck,forcetypeassert // The middleware put it there.
		_, err := db.NewInsert().Model(&Member{Name: c.Param("name")}).Exec(c.Request().Context())
		if errors.Is(err, echobun.ErrUnique) {
			return echo.NewHTTPError(http.StatusConflict)
		}
		return err
	})

	for range 2 {
		rec := httptest.NewRecorder()
		e.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/members/ann", nil))
		fmt.Println(rec.Code)
	}
	// Output:
	// 200
	// 409
}

func ExampleSession_NewSelect() {
	ctx, db, done := exampleSession()
	defer done()

	_, err := db.NewInsert().Model(&[]Member{{Name: "ann"}, {Name: "bob"}}).Exec(ctx) // On "auth".
	check(err)
	_, err = db.NewInsert().Model(&Article{Title: "Hello"}).Exec(ctx) // On the default bind.
	check(err)

	var members []Member
	check(db.NewSelect().Model(&members).Where("name > ?", "ann").Scan(ctx))
	fmt.Println(members[0].Name)
	// Output: bob
}

func ExampleBuilder_Table() {
	ctx, db, done := exampleSession()
	defer done()

	_, err := db.NewInsert().Model(&Member{Name: "ann"}).Exec(ctx)
	check(err)
	row := map[string]any{"member_id": 1, "address": "192.0.2.7"}
	_, err = db.NewInsert().Table(Logins).Model(&row).Exec(ctx)
	check(err)

	var rows []map[string]any
	check(db.NewSelect().Table(Logins).Column("member_id", "address").Scan(ctx, &rows))
	fmt.Println(rows)
	// Output: [map[address:192.0.2.7 member_id:1]]
}

func ExampleSession_For() {
	ctx, db, done := exampleSession()
	defer done()

	var n int
	check(db.For((*Member)(nil)).NewRaw("SELECT count(*) FROM members").Scan(ctx, &n))
	fmt.Println(n)
	check(db.Bind("auth").QueryRowContext(ctx, "SELECT count(*) FROM logins").Scan(&n))
	fmt.Println(n)
	// Output:
	// 0
	// 0
}

func ExampleSession_Bind() {
	ctx, db, done := exampleSession()
	defer done()

	err := db.Bind("auth").RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewInsert().Model(&Member{Name: "ann"}).Exec(ctx); err != nil {
			return err
		}
		return errors.New("changed my mind")
	})
	fmt.Println(err)

	n, err := db.NewSelect().Model((*Member)(nil)).Count(ctx)
	fmt.Println(n, err)
	// Output:
	// changed my mind
	// 0 <nil>
}

func ExampleUnknownBindError() {
	ctx, db, done := exampleSession()
	defer done()

	err := db.Bind("billing").NewRaw("SELECT 1").Scan(ctx, new(int))
	var unknown *echobun.UnknownBindError
	if errors.As(err, &unknown) {
		fmt.Println(unknown.Key, slices.Contains(unknown.Known, "auth"))
	}
	// Output: billing true
}

func ExampleSession_RunInTx() {
	ctx, db, end := exampleSession()
	defer end()

	err := db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		tx.AfterCommit(func(context.Context) { fmt.Println("both databases have it") })
		if _, err := tx.NewInsert().Model(&Member{Name: "ann"}).Exec(ctx); err != nil { // on "auth"
			return err
		}
		err := tx.RunInTx(ctx, nil, func(ctx context.Context, inner *echobun.Session) error {
			_, err := inner.NewInsert().Model(&Member{Name: "ann"}).Exec(ctx)
			return err
		})
		if !errors.Is(err, echobun.ErrUnique) { // rolled back to a savepoint; tx goes on
			return err
		}
		_, err = tx.NewInsert().Model(&Article{Title: "Hello"}).Exec(ctx) // on the default bind
		return err
	})
	check(err)
	// Output: both databases have it
}

func ExampleMiddlewareConfig_atomic() {
	ext := must(echobun.New(exampleConfig))
	defer ext.Close()
	check(ext.Register((*Article)(nil), (*Member)(nil)))
	ctx, end := ext.AppContext(context.Background())
	defer end()
	check(ext.CreateAll(ctx))

	e := echo.New()
	e.POST("/", func(c echo.Context) error {
		db := c.Get("db").(*echobun.Session) //nolint:errcheck // The middleware has put it there.
		if _, err := db.NewInsert().Model(&Member{Name: "ann"}).Exec(c.Request().Context()); err != nil {
			return err
		}
		return c.NoContent(http.StatusConflict) // 400 and above roll back
	}, ext.MiddlewareWithConfig(echobun.MiddlewareConfig{Atomic: true}))
	e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", nil))

	fmt.Println(must(ext.Engines()["auth"].NewSelect().Model((*Member)(nil)).Count(ctx)))
	// Output: 0
}
