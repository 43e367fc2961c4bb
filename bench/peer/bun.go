package peer

import (
	"context"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/bench/data"
)

// bunStore is Bun by hand: a *bun.DB for each database, chosen in the handler.
// Written after https://bun.uptrace.dev/guide/query-select.html,
// query-insert.html, query-update.html, relations.html and transactions.html.
type bunStore struct {
	main, blog, log *bun.DB
	close           func() error
}

func (s *bunStore) Close() error { return s.close() }

// closeAll closes the databases.
func (s *bunStore) closeAll() error {
	return errors.Join(s.main.Close(), s.blog.Close(), s.log.Close())
}

// Start begins a query.
func (s *bunStore) Start() any { return s.blog.NewSelect().Model((*post)(nil)) }

func (s *bunStore) Point(ctx context.Context, id int64) (string, error) {
	var u user
	err := s.main.NewSelect().Model(&u).Where("id = ?", id).Scan(ctx)
	return u.Name, err
}

func (s *bunStore) List(ctx context.Context, from int64) (int, error) {
	var posts []post
	err := s.blog.NewSelect().Model(&posts).Where("id >= ?", from).Order("id").Limit(data.ListSize).Scan(ctx)
	return len(posts), err
}

func (s *bunStore) Insert(ctx context.Context, id int64) error {
	_, err := s.log.NewInsert().Model(&visit{UserID: id, Path: "/"}).Exec(ctx)
	return err
}

func (s *bunStore) Update(ctx context.Context, id int64, score float64) error {
	_, err := s.main.NewUpdate().Model(&user{ID: id, Score: score}).Column("score").WherePK().Exec(ctx)
	return err
}

func (s *bunStore) Comments(ctx context.Context, from int64) (int, error) {
	var posts []post
	err := s.blog.NewSelect().Model(&posts).Relation("Comments").Where("id >= ?", from).Order("id").Limit(commented).Scan(ctx)
	return countComments(posts), err
}

// Both is two transactions, one inside the other: the inner one commits first.
func (s *bunStore) Both(ctx context.Context, id int64) error {
	return s.main.RunInTx(ctx, nil, func(ctx context.Context, main bun.Tx) error {
		return s.log.RunInTx(ctx, nil, func(ctx context.Context, log bun.Tx) error {
			if _, err := main.NewInsert().Model(&transfer{UserID: id, Amount: 1}).Exec(ctx); err != nil {
				return err
			}
			_, err := log.NewInsert().Model(&visit{UserID: id, Path: "/"}).Exec(ctx)
			return err
		})
	})
}

func (s *bunStore) Routes(e *echo.Echo) { handRoutes(e, s.page, s.Both) }

func (s *bunStore) page(c echo.Context, id int64) error {
	ctx := c.Request().Context()
	var p page[user, post, event]
	if err := s.main.NewSelect().Model(&p.User).Where("id = ?", id).Scan(ctx); err != nil {
		return err
	}
	if err := s.blog.NewSelect().Model(&p.Posts).Where("id >= ?", id).Order("id").Limit(pageSize).Scan(ctx); err != nil {
		return err
	}
	if err := s.log.NewSelect().Model(&p.Events).Where("user_id = ?", id).Order("id").Limit(pageSize).Scan(ctx); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, p)
}
