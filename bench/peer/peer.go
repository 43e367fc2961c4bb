// Package peer has the ways to use several databases from an Echo application
// that are compared, each written as its own documentation says.
package peer

import (
	"context"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/echobun/echobun/bench/data"
)

// A Peer is one way.
type Peer struct {
	Name string
	Note string // What it is, for the reader of the results.
	// OneDialect is set where all databases have to be of one kind.
	OneDialect bool
	Open       func(data.Set) (Store, error)
}

// The names of the peers that the results are read for.
const (
	Floor      = "database/sql"
	BunDefault = "Bun, defaults"
	BunTuned   = "Bun, our settings"
	BunEngine  = "Bun, our engine"
	Echobun    = "echobun"
	Gorm       = "GORM"
	GormTuned  = "GORM, tuned"
	Sqlx       = "sqlx"
)

// All returns the peers, in the order of the tables.
func All() []Peer {
	return []Peer{
		{Echobun, "this library, a session from the middleware; models say where they live", false, openEchobun},
		{BunEngine, "Bun by hand on the `*bun.DB` that `Engines()` gives: what a session adds is the difference", false, openBunEngine},
		{BunTuned, "Bun by hand, one `*bun.DB` for each database, with the settings of our engines on the plain drivers", false, openBunTuned},
		{BunDefault, "the same with the drivers' defaults (pgx, go-sql-driver/mysql, modernc.org/sqlite)", false, openBunDefault},
		{Gorm, "GORM with dbresolver, by its defaults: a transaction around each write; our SQLite settings", true, openGorm},
		{GormTuned, "GORM with dbresolver and what its performance page advises: prepared statements, no transaction around a write", true, openGormTuned},
		{Sqlx, "sqlx, one `*sqlx.DB` for each database, statements by hand; our SQLite settings", false, openSqlx},
		{Floor, "the drivers alone, statements prepared once and rows scanned by hand: the floor; our SQLite settings", false, openSQL},
	}
}

// A Store does the work on one set of databases. It is safe for concurrent use.
type Store interface {
	// Point reads a user by its key and returns the name.
	Point(ctx context.Context, user int64) (string, error)
	// List reads a hundred posts from a key on and returns how many there are.
	List(ctx context.Context, from int64) (int, error)
	// Insert inserts a visit; its new key is read back.
	Insert(ctx context.Context, user int64) error
	// Update changes a user's score by its key.
	Update(ctx context.Context, user int64, score float64) error
	// Comments reads ten posts from a key on, with the comments of each, and
	// returns how many comments there are.
	Comments(ctx context.Context, from int64) (int, error)
	// Both inserts a transfer and a visit in one transaction over two
	// databases, or in one on each.
	Both(ctx context.Context, user int64) error

	// Routes adds GET /page/:id, which reads from three databases,
	// POST /both/:id, which answers 201 after what Both does, and
	// GET /nothing, whose handler could query but does not.
	Routes(e *echo.Echo)
	Close() error
}

// A Starter is a store that builds queries.
type Starter interface {
	// Start begins to build a query for posts, on the database that they are in.
	Start() any
}

// page is what GET /page/:id answers.
type page[User, Post, Event any] struct {
	User   User    `json:"user"`
	Posts  []Post  `json:"posts"`
	Events []Event `json:"events"`
}

// pageSize is how many posts and events a page has.
const pageSize = 10

// commented is how many posts Comments reads.
const commented = 10

// id returns the parameter of a route.
func id(c echo.Context) (int64, error) {
	n, err := strconv.ParseInt(c.Param("id"), 10, 64)
	if err != nil {
		return 0, echo.ErrNotFound
	}
	return n, nil
}

// handRoutes adds the routes of a store that needs no middleware.
func handRoutes(e *echo.Echo, page func(echo.Context, int64) error, both func(context.Context, int64) error) {
	e.GET("/page/:id", func(c echo.Context) error {
		user, err := id(c)
		if err != nil {
			return err
		}
		return page(c, user)
	})
	e.POST("/both/:id", func(c echo.Context) error {
		user, err := id(c)
		if err != nil {
			return err
		}
		if err := both(c.Request().Context(), user); err != nil {
			return err
		}
		return c.NoContent(http.StatusCreated)
	})
	e.GET("/nothing", nothing)
}

func nothing(echo.Context) error { return nil }
