package peer

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	"gorm.io/plugin/dbresolver"

	"github.com/echobun/echobun/bench/data"
)

// gormStore is GORM with a resolver for each database. Written after
// https://gorm.io/docs/dbresolver.html, query.html, create.html, update.html,
// preload.html and transactions.html.
type gormStore struct {
	db        *gorm.DB
	resolvers *dbresolver.DBResolver
}

type gormUser struct {
	ID        int64     `json:"id"`
	Name      string    `json:"name"`
	Email     string    `json:"email"`
	Active    bool      `json:"active"`
	Score     float64   `json:"-"`
	CreatedAt time.Time `json:"-"`
}

func (gormUser) TableName() string { return "users" }

type gormTransfer struct {
	ID     int64
	UserID int64
	Amount int64
}

func (gormTransfer) TableName() string { return "transfers" }

type gormPost struct {
	ID        int64         `json:"id"`
	AuthorID  int64         `json:"-"`
	Title     string        `json:"title"`
	Body      string        `json:"body"`
	Views     int64         `json:"views"`
	CreatedAt time.Time     `json:"-"`
	Comments  []gormComment `gorm:"foreignKey:PostID" json:"-"`
}

func (gormPost) TableName() string { return "posts" }

type gormComment struct {
	ID     int64
	PostID int64
	Body   string
}

func (gormComment) TableName() string { return "comments" }

type gormEvent struct {
	ID     int64  `json:"id"`
	UserID int64  `json:"-"`
	Action string `json:"action"`
}

func (gormEvent) TableName() string { return "events" }

type gormVisit struct {
	ID     int64
	UserID int64
	Path   string
}

func (gormVisit) TableName() string { return "visits" }

// openGorm keeps GORM's defaults.
func openGorm(set data.Set) (Store, error) { return gormWith(set, &gorm.Config{}) }

// openGormTuned follows https://gorm.io/docs/performance.html.
func openGormTuned(set data.Set) (Store, error) {
	return gormWith(set, &gorm.Config{SkipDefaultTransaction: true, PrepareStmt: true})
}

func gormWith(set data.Set, cfg *gorm.Config) (Store, error) {
	cfg.Logger = logger.Default.LogMode(logger.Silent)
	db, err := gorm.Open(dialector(set.Main), cfg)
	if err != nil {
		return nil, err
	}
	resolvers := dbresolver.Register(dbresolver.Config{Sources: []gorm.Dialector{dialector(set.Blog)}},
		&gormPost{}, &gormComment{}, "blog").
		Register(dbresolver.Config{Sources: []gorm.Dialector{dialector(set.Log)}},
			&gormEvent{}, &gormVisit{}, "log")
	if err := db.Use(resolvers); err != nil {
		return nil, err
	}
	resolvers.SetMaxOpenConns(data.PoolSize).SetMaxIdleConns(data.PoolSize)
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	data.Limit(pool)
	return &gormStore{db: db, resolvers: resolvers}, nil
}

// dialector opens SQLite through the driver that all peers use, as the page
// https://gorm.io/docs/connecting_to_the_database.html shows for others than
// the default one, which is written in C.
func dialector(d data.Database) gorm.Dialector {
	switch d.Kind {
	case data.PostgreSQL:
		return postgres.Open(d.DSN())
	case data.MariaDB:
		return mysql.Open(d.DSN())
	default:
		return sqlite.New(sqlite.Config{DriverName: d.Driver(), DSN: d.TunedDSN()})
	}
}

// Close closes the pools of the resolvers and the default one.
func (s *gormStore) Close() error {
	pool, err := s.db.DB()
	if err != nil {
		return err
	}
	errs := []error{pool.Close()}
	errs = append(errs, s.resolvers.Call(func(pool gorm.ConnPool) error {
		if closer, ok := pool.(io.Closer); ok {
			return closer.Close()
		}
		return nil
	}))
	return errors.Join(errs...)
}

// Start begins a query on a resolver that is named. GORM finds that of a model
// when the query runs, which is not in this.
func (s *gormStore) Start() any { return s.db.Clauses(dbresolver.Use("blog")).Model((*gormPost)(nil)) }

func (s *gormStore) Point(ctx context.Context, id int64) (string, error) {
	var u gormUser
	err := s.db.WithContext(ctx).First(&u, id).Error
	return u.Name, err
}

func (s *gormStore) List(ctx context.Context, from int64) (int, error) {
	var posts []gormPost
	err := s.db.WithContext(ctx).Where("id >= ?", from).Order("id").Limit(data.ListSize).Find(&posts).Error
	return len(posts), err
}

func (s *gormStore) Insert(ctx context.Context, id int64) error {
	return s.db.WithContext(ctx).Create(&gormVisit{UserID: id, Path: "/"}).Error
}

func (s *gormStore) Update(ctx context.Context, id int64, score float64) error {
	return s.db.WithContext(ctx).Model(&gormUser{ID: id}).Update("score", score).Error
}

func (s *gormStore) Comments(ctx context.Context, from int64) (int, error) {
	var posts []gormPost
	err := s.db.WithContext(ctx).Preload("Comments").Where("id >= ?", from).Order("id").Limit(commented).Find(&posts).Error
	n := 0
	for i := range posts {
		n += len(posts[i].Comments)
	}
	return n, err
}

// Both is two transactions, one inside the other: the inner one commits first.
func (s *gormStore) Both(ctx context.Context, id int64) error {
	db := s.db.WithContext(ctx)
	return db.Clauses(dbresolver.Write).Transaction(func(main *gorm.DB) error {
		return db.Clauses(dbresolver.Use("log"), dbresolver.Write).Transaction(func(log *gorm.DB) error {
			if err := main.Create(&gormTransfer{UserID: id, Amount: 1}).Error; err != nil {
				return err
			}
			return log.Create(&gormVisit{UserID: id, Path: "/"}).Error
		})
	})
}

// Routes has the middleware of https://gorm.io/docs/context.html where the
// handler takes its database from the request.
func (s *gormStore) Routes(e *echo.Echo) {
	handRoutes(e, s.page, s.Both)
	e.GET("/nothing", nothing, func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			c.Set("db", s.db.WithContext(c.Request().Context()))
			return next(c)
		}
	})
}

func (s *gormStore) page(c echo.Context, id int64) error {
	db := s.db.WithContext(c.Request().Context())
	var p page[gormUser, gormPost, gormEvent]
	if err := db.First(&p.User, id).Error; err != nil {
		return err
	}
	if err := db.Where("id >= ?", id).Order("id").Limit(pageSize).Find(&p.Posts).Error; err != nil {
		return err
	}
	if err := db.Where("user_id = ?", id).Order("id").Limit(pageSize).Find(&p.Events).Error; err != nil {
		return err
	}
	return c.JSON(http.StatusOK, p)
}
