package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/echobun/echobun"
)

// countHit is middleware that counts a request under its route.
func countHit(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		db := session(c)
		if err := addHit(c.Request().Context(), db, c.Path()); err != nil {
			// A request is worth more than its count.
			slog.Warn("count a hit", "route", c.Path(), "err", err)
		}
		return next(c)
	}
}

// addHit adds one to the hits of a path. Each database has its own words for
// doing that in one statement; these work on all of them.
func addHit(ctx context.Context, db *echobun.Session, path string) error {
	counted, err := increment(ctx, db, path)
	if err != nil || counted {
		return err
	}
	row := map[string]any{"path": path, "hits": 1}
	_, err = db.NewInsert().Table(PageHits).Model(&row).Exec(ctx)
	if errors.Is(err, echobun.ErrUnique) {
		// Another request inserted the row meanwhile, so now there is one.
		_, err = increment(ctx, db, path)
	}
	return err
}

// increment reports whether there was a row to increment.
func increment(ctx context.Context, db *echobun.Session, path string) (bool, error) {
	res, err := db.NewUpdate().Table(PageHits).Set("hits = hits + 1").Where("path = ?", path).Exec(ctx)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

func listHits(c echo.Context) error {
	db := session(c)
	hits, err := hitsByPath(c.Request().Context(), db)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, hits)
}

func hitsByPath(ctx context.Context, db *echobun.Session) ([]map[string]any, error) {
	hits := []map[string]any{}
	err := db.NewSelect().Table(PageHits).Order("path").Scan(ctx, &hits)
	return hits, err
}
