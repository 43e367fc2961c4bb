package data

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// How many rows there are.
const (
	Users           = 10_000
	Posts           = 10_000
	Commented       = 1000 // Posts with comments: the first ones.
	CommentsPerPost = 10
	Visitors        = 1000 // Users with events: the first ones.
	EventsPerUser   = 10
)

// ListSize is how many posts a list has.
const ListSize = 100

// UserName is what a user is called.
func UserName(id int64) string { return fmt.Sprintf("user %d", id) }

// schema are the tables by database of the set. The words in braces are
// written in each database's own way.
var schema = [3][]string{
	{
		`CREATE TABLE users (id {{id}}, name VARCHAR(80) NOT NULL, email VARCHAR(120) NOT NULL,
			active BOOLEAN NOT NULL, score {{float}} NOT NULL, created_at {{time}} NOT NULL)`,
		`CREATE TABLE transfers (id {{id}}, user_id BIGINT NOT NULL, amount BIGINT NOT NULL)`,
	},
	{
		`CREATE TABLE posts (id {{id}}, author_id BIGINT NOT NULL, title VARCHAR(120) NOT NULL,
			body TEXT NOT NULL, views BIGINT NOT NULL, created_at {{time}} NOT NULL)`,
		`CREATE TABLE comments (id {{id}}, post_id BIGINT NOT NULL, body TEXT NOT NULL)`,
		`CREATE INDEX comments_post ON comments (post_id)`,
	},
	{
		`CREATE TABLE events (id {{id}}, user_id BIGINT NOT NULL, action VARCHAR(80) NOT NULL)`,
		`CREATE INDEX events_user ON events (user_id, id)`,
		`CREATE TABLE visits (id {{id}}, user_id BIGINT NOT NULL, path VARCHAR(120) NOT NULL)`,
	},
}

var words = map[Kind]*strings.Replacer{
	SQLite:     strings.NewReplacer("{{id}}", "INTEGER PRIMARY KEY AUTOINCREMENT", "{{time}}", "TIMESTAMP", "{{float}}", "REAL"),
	PostgreSQL: strings.NewReplacer("{{id}}", "BIGSERIAL PRIMARY KEY", "{{time}}", "TIMESTAMPTZ", "{{float}}", "DOUBLE PRECISION"),
	MariaDB:    strings.NewReplacer("{{id}}", "BIGINT AUTO_INCREMENT PRIMARY KEY", "{{time}}", "DATETIME(6)", "{{float}}", "DOUBLE"),
}

// Fill makes the tables of a set and their rows.
func (s Set) Fill(ctx context.Context) error {
	rows := [3]func(context.Context, *sql.DB) error{fillMain, fillBlog, fillLog}
	for i, d := range s.All() {
		if err := d.fill(ctx, schema[i], rows[i]); err != nil {
			return fmt.Errorf("fill %s: %w", d.Kind, err)
		}
	}
	return nil
}

func (d Database) fill(ctx context.Context, tables []string, rows func(context.Context, *sql.DB) error) error {
	db, err := d.Open(d.TunedDSN())
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // What counts is the rows' errors.
	for _, table := range tables {
		if _, err := db.ExecContext(ctx, words[d.Kind].Replace(table)); err != nil {
			return err
		}
	}
	if err := rows(ctx, db); err != nil {
		return err
	}
	switch d.Kind {
	case PostgreSQL:
		_, err = db.ExecContext(ctx, "VACUUM ANALYZE")
	case SQLite:
		// All rows into the file itself, which is copied, and the journal
		// mode of a file that nobody has set up.
		_, err = db.ExecContext(ctx, "ANALYZE; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode(DELETE)")
	default:
	}
	return err
}

func fillMain(ctx context.Context, db *sql.DB) error {
	return insert(ctx, db, "users (id, name, email, active, score, created_at)", Users, func(i int) string {
		return fmt.Sprintf("(%d, '%s', 'user%d@mail.example', TRUE, %d.5, '%s')", i, UserName(int64(i)), i, i%100, created(i))
	})
}

func fillBlog(ctx context.Context, db *sql.DB) error {
	body := strings.Repeat("Nothing of it was news to anybody. ", 6)
	err := insert(ctx, db, "posts (id, author_id, title, body, views, created_at)", Posts, func(i int) string {
		return fmt.Sprintf("(%d, %d, 'Post %d', '%s', %d, '%s')", i, 1+i%100, i, body, i%1000, created(i))
	})
	if err != nil {
		return err
	}
	return insert(ctx, db, "comments (id, post_id, body)", Commented*CommentsPerPost, func(i int) string {
		return fmt.Sprintf("(%d, %d, 'Comment %d, which has little to add')", i, 1+(i-1)/CommentsPerPost, i)
	})
}

func fillLog(ctx context.Context, db *sql.DB) error {
	return insert(ctx, db, "events (id, user_id, action)", Visitors*EventsPerUser, func(i int) string {
		return fmt.Sprintf("(%d, %d, 'action %d')", i, 1+(i-1)/EventsPerUser, i)
	})
}

// created is a time as all three databases read it.
func created(i int) string {
	return fmt.Sprintf("2026-%02d-%02d %02d:%02d:00", 1+i%12, 1+i%28, i%24, i%60)
}

// insert inserts n rows, numbered from one, five hundred in a statement.
func insert(ctx context.Context, db *sql.DB, into string, n int, row func(i int) string) error { //nolint:unparam // That they are as many is chance.
	const batch = 500
	for from := 1; from <= n; from += batch {
		values := make([]string, 0, batch)
		for i := from; i < min(from+batch, n+1); i++ {
			values = append(values, row(i))
		}
		if _, err := db.ExecContext(ctx, "INSERT INTO "+into+" VALUES "+strings.Join(values, ", ")); err != nil {
			return err
		}
	}
	return nil
}
