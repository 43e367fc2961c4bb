package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/echobun/echobun"
)

func listPosts(c echo.Context) error {
	db := session(c)
	posts, err := newestPosts(c.Request().Context(), db)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, posts)
}

func newestPosts(ctx context.Context, db *echobun.Session) ([]Post, error) {
	posts := []Post{} // JSON shows none of them as [], not as null.
	err := db.NewSelect().Model(&posts).Order("id DESC").Limit(100).Scan(ctx)
	return posts, err
}

func getPost(c echo.Context) error {
	var id int64
	if err := echo.PathParamsBinder(c).Int64("id", &id).BindError(); err != nil {
		return echo.NewHTTPError(http.StatusBadRequest, "the id of a post is a number")
	}

	db := session(c)
	var post Post
	if err := db.NewSelect().Model(&post).Where("id = ?", id).Scan(c.Request().Context()); err != nil {
		return err // No such post is sql.ErrNoRows, which handleError makes a 404.
	}
	return c.JSON(http.StatusOK, post)
}

func createPost(c echo.Context) error {
	post, err := addPost(c)
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderLocation, fmt.Sprintf("/api/posts/%d", post.ID))
	return c.JSON(http.StatusCreated, post)
}

// addPost inserts the post that a request brings, as JSON or as a form. What
// is wrong with it is a 400.
func addPost(c echo.Context) (*Post, error) {
	var in struct {
		Title    string `json:"title" form:"title"`
		AuthorID int64  `json:"author_id" form:"author_id"`
	}
	if err := c.Bind(&in); err != nil {
		return nil, err
	}
	title, err := line("title", in.Title, 200)
	if err != nil {
		return nil, err
	}

	ctx, db := c.Request().Context(), session(c)
	known, err := db.NewSelect().Model((*User)(nil)).Where("id = ?", in.AuthorID).Exists(ctx)
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, echo.NewHTTPError(http.StatusBadRequest, "author_id is not the id of a user")
	}
	post := &Post{Title: title, AuthorID: in.AuthorID}
	_, err = db.NewInsert().Model(post).Exec(ctx)
	return post, err
}

func listUsers(c echo.Context) error {
	db := session(c)
	users, err := usersByName(c.Request().Context(), db)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, users)
}

func usersByName(ctx context.Context, db *echobun.Session) ([]User, error) {
	users := []User{}
	err := db.NewSelect().Model(&users).Order("name").Scan(ctx)
	return users, err
}

func createUser(c echo.Context) error {
	var in struct {
		Name string `json:"name" form:"name"`
	}
	if err := c.Bind(&in); err != nil {
		return err
	}
	name, err := line("name", in.Name, 80)
	if err != nil {
		return err
	}

	db := session(c)
	user := User{Name: name}
	if _, err := db.NewInsert().Model(&user).Exec(c.Request().Context()); err != nil {
		return err // A name that is taken is echobun.ErrUnique, which becomes a 409.
	}
	return c.JSON(http.StatusCreated, user)
}

// createAuthor adds a user and their first post, each in its own database:
// both or none. The route makes the request a transaction.
func createAuthor(c echo.Context) error {
	var in struct {
		Name  string `json:"name" form:"name"`
		Title string `json:"title" form:"title"`
	}
	if err := c.Bind(&in); err != nil {
		return err
	}
	name, err := line("name", in.Name, 80)
	if err != nil {
		return err
	}
	title, err := line("title", in.Title, 200)
	if err != nil {
		return err
	}

	ctx, db := c.Request().Context(), session(c)
	post := Post{Title: title} // It gets its author's id below: the post is the first to be written.
	if _, err := db.NewInsert().Model(&post).Exec(ctx); err != nil {
		return err
	}
	user := User{Name: name}
	if _, err := db.NewInsert().Model(&user).Exec(ctx); err != nil {
		return err // If the name is taken, the post is gone again.
	}
	post.AuthorID = user.ID
	if _, err := db.NewUpdate().Model(&post).Column("author_id").WherePK().Exec(ctx); err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderLocation, fmt.Sprintf("/api/posts/%d", post.ID))
	return c.JSON(http.StatusCreated, post)
}

// line returns a line of text without the spaces around it, or a 400 that says
// what is wrong with it.
func line(field, text string, limit int) (string, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return "", echo.NewHTTPError(http.StatusBadRequest, field+" is missing")
	case utf8.RuneCountInString(text) > limit:
		return "", echo.NewHTTPError(http.StatusBadRequest, fmt.Sprintf("%s has more than %d characters", field, limit))
	case !utf8.ValidString(text), strings.ContainsFunc(text, unicode.IsControl):
		return "", echo.NewHTTPError(http.StatusBadRequest, field+" is not one line of text")
	}
	return text, nil
}
