package writes

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/dialect/feature"
	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/internal/sqltext"
	"github.com/echobun/echobun/internal/sqlwords"
)

// refusal returns why the statement must not be sent: because Bun has left
// out what would have changed which rows it is about, or has the caller wait
// for rows that will not come, so that it is reported failed when it is done.
func refusal(q Builder, text string, asks bool) error {
	v, h, ok := parts(q)
	if !ok {
		return nil
	}
	if err := stored(q); err != nil {
		return err
	}
	var t *schema.Table
	if m, ok := q.GetModel().(bun.TableModel); ok {
		t = m.Table()
	}
	soft := isSoft(q, t)
	if soft && (length(v, h.order) > 0 || number(v, h.limit) != 0) {
		return fmt.Errorf("a soft delete with Limit or Order, which Bun leaves out, so that it would delete all rows that Where takes: "+
			"use ForceDelete, or read the keys first and delete with WherePK: %w", feature.NewNotSupportError(feature.UpdateOrderLimit))
	}
	needs := feature.Returning
	switch q.(type) {
	case *bun.InsertQuery:
		needs = feature.InsertReturning
	case *bun.DeleteQuery:
		if !soft {
			needs = feature.DeleteReturning
		}
	}
	can := q.DB().HasFeature(needs | feature.Output)
	asked := returning(v, h)
	if !can && len(asked) > 0 && !onlyKey(q, t, asked) {
		return fmt.Errorf("the database has no RETURNING here, and Bun leaves it out in silence: read the rows in the same transaction: %w",
			feature.NewNotSupportError(needs))
	}
	returns := can && len(asked)+length(v, h.returns) > 0
	if asks && !returns && isOwn(q, text, soft) {
		return errNothingReturned
	}
	return nil
}

var errNothingReturned = errors.New("a destination for rows of a statement that returns none: it would be done and reported as failed; " +
	"add Returning, or call Exec without a destination")

// onlyKey reports whether an INSERT is only asked for what the database tells
// without RETURNING as well: the key that it has counted.
func onlyKey(q bun.Query, t *schema.Table, asked []string) bool {
	_, inserts := q.(*bun.InsertQuery)
	if !inserts || t == nil || len(t.PKs) != 1 || !t.PKs[0].AutoIncrement {
		return false
	}
	key := t.PKs[0]
	return !slices.ContainsFunc(asked, func(s string) bool {
		s = strings.TrimSpace(s)
		return s != key.Name && s != string(key.SQLName)
	})
}

// isOwn reports whether text may be q's, and not a query of the model's hooks
// that they have sent through a builder from q.
func isOwn(q bun.Query, text string, soft bool) bool {
	op := sqltext.Operation(text)
	if returnsByHand(q, text) {
		return false
	}
	switch q.(type) {
	case *bun.InsertQuery:
		return op == "INSERT" || op == "REPLACE"
	case *bun.DeleteQuery:
		return op == "DELETE" && !soft || op == "UPDATE" && soft
	}
	return op == "UPDATE"
}

// returnsByHand reports whether a text has a RETURNING that Bun knows nothing of:
// the caller has written one into On or Set, in any way that the database takes.
func returnsByHand(q bun.Query, text string) bool {
	b, ok := q.(Builder)
	if !ok {
		return false
	}
	s := sqlwords.Postgres.Scan(text)
	switch b.DB().Dialect().Name() {
	case dialect.MySQL:
		s = sqlwords.MySQL.Scan(text)
	case dialect.SQLite:
		s = sqlwords.SQLite.Scan(text)
	}
	for word := s.Next(); word != ""; word = s.Next() {
		if !s.Quoted() && sqlwords.Is(word, "returning") {
			return true
		}
	}
	return false
}
