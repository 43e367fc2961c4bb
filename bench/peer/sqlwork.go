package peer

import (
	"context"
	"database/sql"
	"net/http"

	"github.com/labstack/echo/v4"
)

func (s *sqlStore) Point(ctx context.Context, id int64) (string, error) {
	u, err := s.user(ctx, id)
	return u.Name, err
}

func (s *sqlStore) user(ctx context.Context, id int64) (u sqlUser, err error) {
	err = s.point.QueryRowContext(ctx, id).Scan(&u.ID, &u.Name, &u.Email, &u.Active, &u.Score, &u.CreatedAt)
	return u, err
}

func (s *sqlStore) List(ctx context.Context, from int64) (int, error) {
	posts, err := sqlPosts(ctx, s.list, from)
	return len(posts), err
}

func sqlPosts(ctx context.Context, stmt *sql.Stmt, arg int64) ([]sqlPost, error) {
	rows, err := stmt.QueryContext(ctx, arg)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err says what went wrong.
	var posts []sqlPost
	for rows.Next() {
		var p sqlPost
		if err := rows.Scan(&p.ID, &p.AuthorID, &p.Title, &p.Body, &p.Views, &p.CreatedAt); err != nil {
			return nil, err
		}
		posts = append(posts, p)
	}
	return posts, rows.Err()
}

func (s *sqlStore) Insert(ctx context.Context, id int64) error {
	_, err := s.insert.insert(ctx, nil, id, "/")
	return err
}

func (s *sqlStore) Update(ctx context.Context, id int64, score float64) error {
	_, err := s.update.ExecContext(ctx, score, id)
	return err
}

func (s *sqlStore) Comments(ctx context.Context, from int64) (int, error) {
	posts, err := sqlPosts(ctx, s.ten, from)
	if err != nil {
		return 0, err
	}
	args := make([]any, commented)
	byID := make(map[int64]*sqlPost, len(posts))
	for i := range posts {
		args[i] = posts[i].ID
		byID[posts[i].ID] = &posts[i]
	}
	rows, err := s.comments.QueryContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err says what went wrong.
	n := 0
	for rows.Next() {
		var c sqlComment
		if err := rows.Scan(&c.ID, &c.PostID, &c.Body); err != nil {
			return 0, err
		}
		p := byID[c.PostID]
		p.Comments = append(p.Comments, c)
		n++
	}
	return n, rows.Err()
}

// Both commits the second transaction first, as the others do.
func (s *sqlStore) Both(ctx context.Context, id int64) error {
	main, err := s.main.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer main.Rollback() //nolint:errcheck // After a commit it does nothing.
	log, err := s.log.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer log.Rollback() //nolint:errcheck // As above.
	if _, err := s.transfer.insert(ctx, main, id, 1); err != nil {
		return err
	}
	if _, err := s.insert.insert(ctx, log, id, "/"); err != nil {
		return err
	}
	if err := log.Commit(); err != nil {
		return err
	}
	return main.Commit()
}

func (s *sqlStore) Routes(e *echo.Echo) { handRoutes(e, s.page, s.Both) }

func (s *sqlStore) page(c echo.Context, id int64) (err error) {
	ctx := c.Request().Context()
	var p page[sqlUser, sqlPost, sqlEvent]
	if p.User, err = s.user(ctx, id); err != nil {
		return err
	}
	if p.Posts, err = sqlPosts(ctx, s.ten, id); err != nil {
		return err
	}
	if p.Events, err = s.eventsOf(ctx, id); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, p)
}

func (s *sqlStore) eventsOf(ctx context.Context, id int64) ([]sqlEvent, error) {
	rows, err := s.events.QueryContext(ctx, id)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err says what went wrong.
	var events []sqlEvent
	for rows.Next() {
		var e sqlEvent
		if err := rows.Scan(&e.ID, &e.UserID, &e.Action); err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, rows.Err()
}
