package mysql

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A hello is what a new connection's session says of itself.
type hello struct {
	id      uint64 // The connection's id on the server.
	server  string // Tells servers behind one address apart.
	version string
}

const (
	serverColumns = `@@hostname, @@port, @@server_id`
	helloQuery    = `SELECT CONCAT_WS(' ', CONNECTION_ID(), ` + serverColumns + `, VERSION())`
	serverQuery   = `SELECT CONCAT_WS(' ', ` + serverColumns + `)`
)

// greet asks a new session who it is.
func greet(ctx context.Context, c sqldriver.QueryerContext) (hello, error) {
	answer, err := queryText(ctx, c, helloQuery)
	if err != nil {
		return hello{}, fmt.Errorf("ask for the server's name: %w", err)
	}
	head, rest, _ := strings.Cut(answer, " ")
	fields := strings.SplitN(rest, " ", 4)
	id, err := strconv.ParseUint(head, 10, 64)
	if err != nil || len(fields) != 4 {
		return hello{}, errors.New("the server's name is not understood")
	}
	return hello{id: id, server: strings.Join(fields[:3], " "), version: fields[3]}, nil
}

// queryText returns the only value of a query.
func queryText(ctx context.Context, c sqldriver.QueryerContext, query string) (_ string, err error) {
	rows, err := c.QueryContext(ctx, query, nil)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()

	dest := make([]sqldriver.Value, len(rows.Columns()))
	if err := rows.Next(dest); err != nil {
		return "", err
	}
	switch v := dest[0].(type) {
	case []byte:
		return string(v), nil
	case string:
		return v, nil
	}
	return "", fmt.Errorf("a %T where text was expected", dest[0])
}
