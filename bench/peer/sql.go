package peer

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/echobun/echobun/bench/data"
)

// sqlStore is database/sql with statements that are prepared once. Written
// after https://go.dev/doc/database/prepared-statements and
// https://go.dev/doc/database/querying.
type sqlStore struct {
	main, blog, log *sql.DB
	point           *sql.Stmt
	list            *sql.Stmt
	insert          inserter
	transfer        inserter
	update          *sql.Stmt
	ten             *sql.Stmt
	comments        *sql.Stmt
	events          *sql.Stmt
}

type sqlUser struct {
	ID        int64     `json:"id"`
	Name      string    `json:"name"`
	Email     string    `json:"email"`
	Active    bool      `json:"active"`
	Score     float64   `json:"-"`
	CreatedAt time.Time `json:"-"`
}

type sqlPost struct {
	ID        int64        `json:"id"`
	AuthorID  int64        `json:"-"`
	Title     string       `json:"title"`
	Body      string       `json:"body"`
	Views     int64        `json:"views"`
	CreatedAt time.Time    `json:"-"`
	Comments  []sqlComment `json:"-"`
}

type sqlComment struct {
	ID     int64
	PostID int64
	Body   string
}

type sqlEvent struct {
	ID     int64  `json:"id"`
	UserID int64  `json:"-"`
	Action string `json:"action"`
}

// An inserter inserts a row and reads its key back.
type inserter struct {
	stmt      *sql.Stmt
	returning bool // The statement says RETURNING.
}

// insert runs in tx unless that is nil.
func (i inserter) insert(ctx context.Context, tx *sql.Tx, args ...any) (key int64, err error) { //nolint:unparam // Users want the key.
	stmt := i.stmt
	if tx != nil {
		stmt = tx.StmtContext(ctx, stmt) //nolint:sqlclosecheck // Below.
		defer stmt.Close()               //nolint:errcheck // It is the transaction's.
	}
	if i.returning {
		err = stmt.QueryRowContext(ctx, args...).Scan(&key)
		return key, err
	}
	res, err := stmt.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

func openSQL(set data.Set) (Store, error) {
	s := &sqlStore{}
	for i, d := range set.All() {
		db, err := d.Open(d.TunedDSN())
		if err != nil {
			return nil, err
		}
		*[]**sql.DB{&s.main, &s.blog, &s.log}[i] = db
	}
	p := preparer{}
	const posts = `SELECT id, author_id, title, body, views, created_at FROM posts `
	s.point = p.prepare(s.main, set.Main, `SELECT id, name, email, active, score, created_at FROM users WHERE id = ?`)
	s.update = p.prepare(s.main, set.Main, `UPDATE users SET score = ? WHERE id = ?`)
	s.transfer = p.inserter(s.main, set.Main, `INSERT INTO transfers (user_id, amount) VALUES (?, ?)`)
	s.list = p.prepare(s.blog, set.Blog, posts+`WHERE id >= ? ORDER BY id LIMIT 100`)
	s.ten = p.prepare(s.blog, set.Blog, posts+`WHERE id >= ? ORDER BY id LIMIT 10`)
	s.comments = p.prepare(s.blog, set.Blog,
		`SELECT id, post_id, body FROM comments WHERE post_id IN (`+strings.Repeat("?, ", commented-1)+`?)`)
	s.insert = p.inserter(s.log, set.Log, `INSERT INTO visits (user_id, path) VALUES (?, ?)`)
	s.events = p.prepare(s.log, set.Log, `SELECT id, user_id, action FROM events WHERE user_id = ? ORDER BY id LIMIT 10`)
	return s, p.err
}

// A preparer prepares statements until the first error.
type preparer struct{ err error }

func (p *preparer) prepare(db *sql.DB, d data.Database, query string) *sql.Stmt {
	if p.err != nil {
		return nil
	}
	if d.Kind == data.PostgreSQL {
		query = numbered(query)
	}
	// A prepared statement is for the life of the store.
	stmt, err := db.PrepareContext(context.Background(), query)
	p.err = err
	return stmt
}

func (p *preparer) inserter(db *sql.DB, d data.Database, query string) inserter {
	if d.Kind == data.PostgreSQL {
		return inserter{stmt: p.prepare(db, d, query+" RETURNING id"), returning: true}
	}
	return inserter{stmt: p.prepare(db, d, query)}
}

// numbered replaces question marks by $1, $2, ...
func numbered(query string) string {
	var b strings.Builder
	n := 0
	for _, r := range query {
		if r != '?' {
			b.WriteRune(r)
			continue
		}
		n++
		b.WriteByte('$')
		if n >= 10 {
			b.WriteByte(byte('0' + n/10))
		}
		b.WriteByte(byte('0' + n%10))
	}
	return b.String()
}

// Close closes the pools, and with them the statements.
func (s *sqlStore) Close() error {
	return errors.Join(s.main.Close(), s.blog.Close(), s.log.Close())
}
