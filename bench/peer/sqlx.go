package peer

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/labstack/echo/v4"

	"github.com/echobun/echobun/bench/data"
)

// sqlxStore is a *sqlx.DB for each database. Written after the guide
// https://jmoiron.github.io/sqlx/ and the README of github.com/jmoiron/sqlx.
type sqlxStore struct {
	main, blog, log *sqlx.DB
}

type sqlxUser struct {
	ID        int64     `db:"id" json:"id"`
	Name      string    `db:"name" json:"name"`
	Email     string    `db:"email" json:"email"`
	Active    bool      `db:"active" json:"active"`
	Score     float64   `db:"score" json:"-"`
	CreatedAt time.Time `db:"created_at" json:"-"`
}

type sqlxPost struct {
	ID        int64         `db:"id" json:"id"`
	AuthorID  int64         `db:"author_id" json:"-"`
	Title     string        `db:"title" json:"title"`
	Body      string        `db:"body" json:"body"`
	Views     int64         `db:"views" json:"views"`
	CreatedAt time.Time     `db:"created_at" json:"-"`
	Comments  []sqlxComment `db:"-" json:"-"`
}

type sqlxComment struct {
	ID     int64  `db:"id"`
	PostID int64  `db:"post_id"`
	Body   string `db:"body"`
}

type sqlxEvent struct {
	ID     int64  `db:"id" json:"id"`
	UserID int64  `db:"user_id" json:"-"`
	Action string `db:"action" json:"action"`
}

func openSqlx(set data.Set) (Store, error) {
	s := &sqlxStore{}
	for i, d := range set.All() {
		db, err := sqlx.Connect(d.Driver(), d.TunedDSN())
		if err != nil {
			return nil, err
		}
		data.Limit(db.DB)
		*[]**sqlx.DB{&s.main, &s.blog, &s.log}[i] = db
	}
	return s, nil
}

func (s *sqlxStore) Close() error {
	return errors.Join(s.main.Close(), s.blog.Close(), s.log.Close())
}

func (s *sqlxStore) Point(ctx context.Context, id int64) (string, error) {
	var u sqlxUser
	err := s.main.GetContext(ctx, &u, s.main.Rebind(`SELECT * FROM users WHERE id = ?`), id)
	return u.Name, err
}

func (s *sqlxStore) List(ctx context.Context, from int64) (int, error) {
	var posts []sqlxPost
	err := s.blog.SelectContext(ctx, &posts,
		s.blog.Rebind(`SELECT * FROM posts WHERE id >= ? ORDER BY id LIMIT 100`), from)
	return len(posts), err
}

func (s *sqlxStore) Insert(ctx context.Context, id int64) error {
	_, err := sqlxInsert(ctx, s.log, `INSERT INTO visits (user_id, path) VALUES (?, ?)`, id, "/")
	return err
}

// sqlxInsert returns the new key, which PostgreSQL's drivers give only with
// RETURNING.
func sqlxInsert(ctx context.Context, db sqlx.ExtContext, query string, args ...any) (key int64, err error) { //nolint:unparam // Users want the key.
	query = db.Rebind(query)
	if db.DriverName() == "pgx" {
		err = db.QueryRowxContext(ctx, query+" RETURNING id", args...).Scan(&key)
		return key, err
	}
	res, err := db.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

func (s *sqlxStore) Update(ctx context.Context, id int64, score float64) error {
	_, err := s.main.ExecContext(ctx, s.main.Rebind(`UPDATE users SET score = ? WHERE id = ?`), score, id)
	return err
}

func (s *sqlxStore) Comments(ctx context.Context, from int64) (int, error) {
	var posts []sqlxPost
	err := s.blog.SelectContext(ctx, &posts, s.blog.Rebind(`SELECT * FROM posts WHERE id >= ? ORDER BY id LIMIT 10`), from)
	if err != nil {
		return 0, err
	}
	ids := make([]int64, len(posts))
	byID := make(map[int64]*sqlxPost, len(posts))
	for i := range posts {
		ids[i] = posts[i].ID
		byID[posts[i].ID] = &posts[i]
	}
	query, args, err := sqlx.In(`SELECT * FROM comments WHERE post_id IN (?)`, ids)
	if err != nil {
		return 0, err
	}
	var comments []sqlxComment
	if err := s.blog.SelectContext(ctx, &comments, s.blog.Rebind(query), args...); err != nil {
		return 0, err
	}
	for _, c := range comments {
		p := byID[c.PostID]
		p.Comments = append(p.Comments, c)
	}
	n := 0
	for i := range posts {
		n += len(posts[i].Comments)
	}
	return n, nil
}

// Both commits the second transaction first, as the others do.
func (s *sqlxStore) Both(ctx context.Context, id int64) error {
	main, err := s.main.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer main.Rollback() //nolint:errcheck // After a commit it does nothing.
	log, err := s.log.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer log.Rollback() //nolint:errcheck // As above.
	if _, err := sqlxInsert(ctx, main, `INSERT INTO transfers (user_id, amount) VALUES (?, ?)`, id, 1); err != nil {
		return err
	}
	if _, err := sqlxInsert(ctx, log, `INSERT INTO visits (user_id, path) VALUES (?, ?)`, id, "/"); err != nil {
		return err
	}
	if err := log.Commit(); err != nil {
		return err
	}
	return main.Commit()
}

func (s *sqlxStore) Routes(e *echo.Echo) { handRoutes(e, s.page, s.Both) }

func (s *sqlxStore) page(c echo.Context, id int64) error {
	ctx := c.Request().Context()
	var p page[sqlxUser, sqlxPost, sqlxEvent]
	if err := s.main.GetContext(ctx, &p.User, s.main.Rebind(`SELECT * FROM users WHERE id = ?`), id); err != nil {
		return err
	}
	err := s.blog.SelectContext(ctx, &p.Posts,
		s.blog.Rebind(`SELECT * FROM posts WHERE id >= ? ORDER BY id LIMIT 10`), id)
	if err != nil {
		return err
	}
	err = s.log.SelectContext(ctx, &p.Events,
		s.log.Rebind(`SELECT * FROM events WHERE user_id = ? ORDER BY id LIMIT 10`), id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, p)
}
