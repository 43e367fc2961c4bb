package main

import (
	"context"
	"errors"

	"github.com/echobun/echobun"
)

// seed adds two users with a post each, unless there are users.
func seed(ctx context.Context, ext *echobun.Extension) error {
	db, err := ext.Session(ctx)
	if err != nil {
		return err
	}
	seeded, err := db.NewSelect().Model((*User)(nil)).Exists(ctx)
	if err != nil || seeded {
		return err
	}

	for _, first := range []struct{ name, title string }{
		{"Ada Lovelace", "One session, three databases"},
		{"Grace Hopper", "No foreign key leaves its database"},
	} {
		user := User{Name: first.name}
		_, err := db.NewInsert().Model(&user).Exec(ctx)
		if errors.Is(err, echobun.ErrUnique) {
			continue // Another process starts, too, and was first.
		}
		if err != nil {
			return err
		}
		post := Post{Title: first.title, AuthorID: user.ID}
		if _, err := db.NewInsert().Model(&post).Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}
