package peer

import (
	"time"

	"github.com/uptrace/bun"
)

// These are the models of Bun, and echobun's: the same, with a line that says
// where they live.

type onBlog struct{}

func (onBlog) BindKey() string { return "blog" }

type onLog struct{}

func (onLog) BindKey() string { return "log" }

type user struct {
	bun.BaseModel `bun:"table:users" json:"-"`

	ID        int64     `bun:",pk,autoincrement" json:"id"`
	Name      string    `json:"name"`
	Email     string    `json:"email"`
	Active    bool      `json:"active"`
	Score     float64   `json:"-"`
	CreatedAt time.Time `json:"-"`
}

type transfer struct {
	bun.BaseModel `bun:"table:transfers"`

	ID     int64 `bun:",pk,autoincrement"`
	UserID int64
	Amount int64
}

type post struct {
	bun.BaseModel `bun:"table:posts" json:"-"`
	onBlog

	ID        int64     `bun:",pk,autoincrement" json:"id"`
	AuthorID  int64     `json:"-"`
	Title     string    `json:"title"`
	Body      string    `json:"body"`
	Views     int64     `json:"views"`
	CreatedAt time.Time `json:"-"`
	Comments  []comment `bun:"rel:has-many,join:id=post_id" json:"-"`
}

type comment struct {
	bun.BaseModel `bun:"table:comments"`
	onBlog

	ID     int64 `bun:",pk,autoincrement"`
	PostID int64
	Body   string
}

type event struct {
	bun.BaseModel `bun:"table:events" json:"-"`
	onLog

	ID     int64  `bun:",pk,autoincrement" json:"id"`
	UserID int64  `json:"-"`
	Action string `json:"action"`
}

type visit struct {
	bun.BaseModel `bun:"table:visits"`
	onLog

	ID     int64 `bun:",pk,autoincrement"`
	UserID int64
	Path   string
}

// countComments counts what came with posts.
func countComments(posts []post) int {
	n := 0
	for i := range posts {
		n += len(posts[i].Comments)
	}
	return n
}
