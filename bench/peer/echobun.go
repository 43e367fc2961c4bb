package peer

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/bench/data"
	_ "github.com/echobun/echobun/driver/mysql"  // For its URLs.
	_ "github.com/echobun/echobun/driver/pgx"    // For its URLs.
	_ "github.com/echobun/echobun/driver/sqlite" // For its URLs.
)

// echobunStore follows the README of this library.
type echobunStore struct {
	ext *echobun.Extension
	db  *echobun.Session
	end func()
}

// newExtension returns an extension on the databases of a set.
func newExtension(set data.Set) (*echobun.Extension, error) {
	return echobun.New(echobun.Config{
		DatabaseURI: set.Main.URL,
		Binds:       echobun.Binds{"blog": {URL: set.Blog.URL}, "log": {URL: set.Log.URL}},
		Defaults:    echobun.EngineOptions{MaxOpenConns: data.PoolSize, MaxIdleConns: data.PoolSize},
	})
}

func openEchobun(set data.Set) (Store, error) {
	ext, err := newExtension(set)
	if err != nil {
		return nil, err
	}
	models := []any{(*user)(nil), (*transfer)(nil), (*post)(nil), (*comment)(nil), (*event)(nil), (*visit)(nil)}
	if err := ext.Register(models...); err != nil {
		return nil, err
	}
	ctx, end := ext.AppContext(context.Background())
	db, err := ext.Session(ctx)
	if err != nil {
		return nil, err
	}
	return &echobunStore{ext: ext, db: db, end: end}, nil
}

func (s *echobunStore) Close() error {
	s.end()
	return s.ext.Close()
}

// Start begins a query.
func (s *echobunStore) Start() any { return s.db.NewSelect().Model((*post)(nil)) }

func (s *echobunStore) Point(ctx context.Context, id int64) (string, error) {
	var u user
	err := s.db.NewSelect().Model(&u).Where("id = ?", id).Scan(ctx)
	return u.Name, err
}

func (s *echobunStore) List(ctx context.Context, from int64) (int, error) {
	var posts []post
	err := s.db.NewSelect().Model(&posts).Where("id >= ?", from).Order("id").Limit(data.ListSize).Scan(ctx)
	return len(posts), err
}

func (s *echobunStore) Insert(ctx context.Context, id int64) error {
	_, err := s.db.NewInsert().Model(&visit{UserID: id, Path: "/"}).Exec(ctx)
	return err
}

func (s *echobunStore) Update(ctx context.Context, id int64, score float64) error {
	_, err := s.db.NewUpdate().Model(&user{ID: id, Score: score}).Column("score").WherePK().Exec(ctx)
	return err
}

func (s *echobunStore) Comments(ctx context.Context, from int64) (int, error) {
	var posts []post
	err := s.db.NewSelect().Model(&posts).Relation("Comments").Where("id >= ?", from).Order("id").Limit(commented).Scan(ctx)
	return countComments(posts), err
}

func (s *echobunStore) Both(ctx context.Context, id int64) error {
	return s.db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		return insertBoth(ctx, tx, id)
	})
}

func insertBoth(ctx context.Context, db *echobun.Session, id int64) error {
	if _, err := db.NewInsert().Model(&transfer{UserID: id, Amount: 1}).Exec(ctx); err != nil {
		return err
	}
	_, err := db.NewInsert().Model(&visit{UserID: id, Path: "/"}).Exec(ctx)
	return err
}

func (s *echobunStore) Routes(e *echo.Echo) {
	e.GET("/page/:id", func(c echo.Context) error {
		user, err := id(c)
		if err != nil {
			return err
		}
		return echobunPage(c, user)
	}, s.ext.Middleware())
	e.POST("/both/:id", func(c echo.Context) error {
		user, err := id(c)
		if err != nil {
			return err
		}
		db := c.Get("db").(*echobun.Session) //nolint:errcheck // The middleware has put it there.
		if err := insertBoth(c.Request().Context(), db, user); err != nil {
			return err
		}
		return c.NoContent(http.StatusCreated)
	}, s.ext.MiddlewareWithConfig(echobun.MiddlewareConfig{Atomic: true}))
	e.GET("/nothing", nothing, s.ext.Middleware())
}

func echobunPage(c echo.Context, id int64) error {
	db := c.Get("db").(*echobun.Session) //nolint:errcheck // The middleware has put it there.
	ctx := c.Request().Context()
	var p page[user, post, event]
	if err := db.NewSelect().Model(&p.User).Where("id = ?", id).Scan(ctx); err != nil {
		return err
	}
	if err := db.NewSelect().Model(&p.Posts).Where("id >= ?", id).Order("id").Limit(pageSize).Scan(ctx); err != nil {
		return err
	}
	if err := db.NewSelect().Model(&p.Events).Where("user_id = ?", id).Order("id").Limit(pageSize).Scan(ctx); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, p)
}
