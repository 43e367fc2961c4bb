package main

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

//go:embed page.html
var pageHTML string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// A page is what page.html shows.
type page struct {
	Default, Auth, Meta string // Labels of the binds.

	Posts []postLine
	Users []User
	Hits  []map[string]any

	// A form that was refused comes back as it was sent.
	Problem, Title string
}

// A postLine is a post with the name of its author.
type postLine struct{ Title, Author string }

func showPage(c echo.Context) error {
	return renderPage(c, http.StatusOK, "")
}

func submitPost(c echo.Context) error {
	_, err := addPost(c)
	if refused := new(echo.HTTPError); errors.As(err, &refused) && refused.Code == http.StatusBadRequest {
		return renderPage(c, refused.Code, fmt.Sprint(refused.Message))
	}
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/")
}

func renderPage(c echo.Context, status int, problem string) error {
	ctx, db := c.Request().Context(), session(c)
	posts, err := newestPosts(ctx, db)
	if err != nil {
		return err
	}
	users, err := usersByName(ctx, db)
	if err != nil {
		return err
	}
	hits, err := hitsByPath(ctx, db)
	if err != nil {
		return err
	}

	var html bytes.Buffer
	err = pageTemplate.Execute(&html, page{
		Default: label(echobun.DefaultBind, db.Bind(echobun.DefaultBind)),
		Auth:    label("auth", db.Bind("auth")),
		Meta:    label("meta", db.Bind("meta")),
		Posts:   withAuthors(posts, users),
		Users:   users,
		Hits:    hits,
		Problem: problem,
		Title:   c.FormValue("title"),
	})
	if err != nil {
		return err
	}
	return c.HTMLBlob(status, html.Bytes())
}

// withAuthors joins posts and users here in Go: SQL has no join across
// databases.
func withAuthors(posts []Post, users []User) []postLine {
	names := make(map[int64]string, len(users))
	for _, u := range users {
		names[u.ID] = u.Name
	}
	lines := make([]postLine, len(posts))
	for i, p := range posts {
		lines[i] = postLine{Title: p.Title, Author: cmp.Or(names[p.AuthorID], "(unknown)")}
	}
	return lines
}

// label says which bind something is on, and what kind of database that is.
func label(key string, db bun.IDB) string {
	return cmp.Or(key, "default") + " · " + db.Dialect().Name().String()
}
