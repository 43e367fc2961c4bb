package main

import (
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// A Post is on the default bind, like every model that does not say otherwise.
type Post struct {
	bun.BaseModel `bun:"table:posts,alias:p"`

	ID    int64  `bun:",pk,autoincrement" json:"id"`
	Title string `bun:"type:varchar(200),notnull" json:"title"`
	// AuthorID is the id of a User. No foreign key: it is in another database.
	AuthorID int64 `bun:",notnull" json:"author_id"`
}

// AuthModel puts the models that embed it on the bind "auth".
type AuthModel struct{}

// BindKey names the bind.
func (AuthModel) BindKey() string { return "auth" }

// A User is on the bind "auth".
type User struct {
	bun.BaseModel `bun:"table:users,alias:u"`
	AuthModel

	ID   int64  `bun:",pk,autoincrement" json:"id"`
	Name string `bun:"type:varchar(80),notnull,unique" json:"name"`
}

// PageHits counts requests by route on the bind "meta". It has no struct: its
// rows are maps.
var PageHits = &echobun.Table{
	Name:    "page_hits",
	BindKey: "meta",
	Columns: []echobun.Column{
		{Name: "path", Type: echobun.String(200), PrimaryKey: true},
		{Name: "hits", Type: echobun.BigInteger, NotNull: true},
	},
}
