package echobun_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// Models that are right. An author has books, a book has tags: Bun has to
// build seqBookTag before seqBook, and may meet seqAuthor before both.
type (
	seqAuthor struct {
		bun.BaseModel `bun:"table:authors"`
		authModel

		ID      int64 `bun:",pk,autoincrement"`
		Name    string
		Books   []*seqBook    `bun:"rel:has-many,join:id=author_id"`
		Cards   []*seqCard    `bun:"rel:has-many,join:id=owner_id,join:type=owner_type,polymorphic"`
		Friends []*seqAuthor  `bun:"m2m:friends,join:Author=Friend"`
		Profile *seqProfile   `bun:"rel:has-one,join:id=author_id"`
		Reviews []*seqReview  `bun:"rel:has-many,join:id=author_id"`
		Hits    []*onMetaHits `bun:"rel:has-many,join:id=author_id"` // On another bind.
	}
	seqBook struct {
		bun.BaseModel `bun:"table:books"`
		authModel

		ID       int64 `bun:",pk,autoincrement"`
		AuthorID int64
		Author   *seqAuthor `bun:"rel:belongs-to,join:author_id=id"`
		Tags     []*seqTag  `bun:"m2m:book_tags,join:Book=Tag"`
	}
	seqTag struct {
		bun.BaseModel `bun:"table:tags"`
		authModel

		ID    int64 `bun:",pk,autoincrement"`
		Name  string
		Books []*seqBook `bun:"m2m:book_tags,join:Tag=Book"`
	}
	seqBookTag struct {
		bun.BaseModel `bun:"table:book_tags"`
		authModel

		BookID int64    `bun:",pk"`
		Book   *seqBook `bun:"rel:belongs-to,join:book_id=id"`
		TagID  int64    `bun:",pk"`
		Tag    *seqTag  `bun:"rel:belongs-to,join:tag_id=id"`
	}
	seqFriend struct {
		bun.BaseModel `bun:"table:friends"`
		authModel

		AuthorID int64      `bun:",pk"`
		Author   *seqAuthor `bun:"rel:belongs-to,join:author_id=id"`
		FriendID int64      `bun:",pk"`
		Friend   *seqAuthor `bun:"rel:belongs-to,join:friend_id=id"`
	}
	seqProfile struct {
		bun.BaseModel `bun:"table:profiles"`
		authModel

		ID       int64 `bun:",pk,autoincrement"`
		AuthorID int64
	}
	seqCard struct {
		bun.BaseModel `bun:"table:cards"`
		authModel

		ID        int64 `bun:",pk,autoincrement"`
		OwnerID   int64
		OwnerType string
	}
	seqReview struct {
		bun.BaseModel `bun:"table:reviews"`
		authModel

		ID       int64 `bun:",pk,autoincrement"`
		AuthorID int64
		Author   *seqAuthor `bun:"rel:belongs-to,join:author_id=id"`
	}
	seqPlain struct {
		bun.BaseModel `bun:"table:plain"`
		authModel

		ID int64 `bun:",pk,autoincrement"`
	}
	onMetaHits struct {
		bun.BaseModel `bun:"table:hits"`
		metaModel

		ID       int64 `bun:",pk,autoincrement"`
		AuthorID int64
	}
)

func rightModels() []any {
	return []any{
		(*seqAuthor)(nil), (*seqBook)(nil), (*seqTag)(nil), (*seqBookTag)(nil), (*seqFriend)(nil), (*seqProfile)(nil),
		(*seqCard)(nil), (*seqReview)(nil), (*seqPlain)(nil), (*onMetaHits)(nil),
	}
}

// A sequence is a random one of Register and queries on one extension.
type sequence struct {
	t      *testing.T
	random *rand.Rand
	x      *echobun.Extension
	db     *echobun.Session
	right  []any
	broken []any
	done   []string // What was done, for messages.
}

// TestRegisterSequences mixes models that are right with models that are
// broken in every way that Bun knows: each broken one is a typed error each
// time, nothing panics, and in the end the right ones work.
func TestRegisterSequences(t *testing.T) {
	t.Parallel()
	seeds := uint64(500) // On each dialect.
	if testing.Short() || raced {
		seeds = 50
	}
	// Bun builds tables without a connection: there is no server behind these.
	urls := map[string]string{
		"PostgreSQL": "postgresql://nobody@127.0.0.1:1/nothing",
		"MySQL":      "mysql://nobody@127.0.0.1:1/nothing",
		"SQLite":     "sqlite://",
	}
	for name, url := range urls {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broken := brokenModels()
			for seed := range seeds {
				x, err := echobun.New(echobun.Config{
					DatabaseURI: url,
					Binds:       echobun.Binds{"auth": {URL: url}, "meta": {URL: url}},
				})
				require.NoError(t, err)
				ctx, end := x.AppContext(t.Context())
				db, err := x.Session(ctx)
				require.NoError(t, err)
				s := &sequence{t: t, random: rand.New(rand.NewPCG(seed, 11)), x: x, db: db, right: rightModels(), broken: broken}
				s.run()
				if name == "SQLite" && seed%25 == 0 {
					s.use(ctx)
				}
				end()
				require.NoError(t, x.Close())
			}
		})
	}
}

func (s *sequence) run() {
	for range 4 + s.random.IntN(12) {
		switch s.random.IntN(3) {
		case 0:
			s.register()
		case 1:
			s.query(s.pick(s.broken), true)
		default:
			s.query(s.pick(s.right), false)
		}
	}
	s.done = append(s.done, "register all that are right")
	require.NotPanics(s.t, func() { require.NoError(s.t, s.x.Register(s.right...), "%v", s.done) }, "%v", s.done)
	for _, model := range s.right {
		require.NoError(s.t, s.build(model), "%v", s.done)
	}
}

func (s *sequence) pick(models []any) any { return models[s.random.IntN(len(models))] }

// register registers some models that are right, mostly together with one that is broken.
func (s *sequence) register() {
	var models []any
	for _, i := range s.random.Perm(len(s.right))[:s.random.IntN(4)] {
		models = append(models, s.right[i])
	}
	withBroken := s.random.IntN(3) > 0
	if withBroken {
		models = append(models, s.pick(s.broken))
		s.random.Shuffle(len(models), func(i, j int) { models[i], models[j] = models[j], models[i] })
	}
	s.done = append(s.done, fmt.Sprintf("register %T", models))
	for _, model := range models {
		s.done = append(s.done, fmt.Sprintf("  %T", model))
	}
	require.NotPanics(s.t, func() { s.check(s.x.Register(models...), withBroken) }, "%v", s.done)
}

// query builds a query, which is where Bun meets the model.
func (s *sequence) query(model any, broken bool) {
	s.done = append(s.done, fmt.Sprintf("query %T", model))
	require.NotPanics(s.t, func() { s.check(s.build(model), broken) }, "%v", s.done)
}

func (s *sequence) build(model any) error {
	_, err := s.db.NewSelect().Model(model).AppendQuery(s.x.Engine().QueryGen(), nil)
	return err
}

// check asserts that err is of this package's. What is right may be refused for
// a many-to-many relation whose table is not registered.
func (s *sequence) check(err error, broken bool) {
	if err == nil {
		require.False(s.t, broken, "%v", s.done)
		return
	}
	var modelErr *echobun.ModelError
	var unknown *echobun.UnknownBindError
	if !broken {
		require.ErrorContains(s.t, err, "register that model too", "%v", s.done)
	}
	if broken && errors.As(err, &unknown) {
		return
	}
	require.ErrorAs(s.t, err, &modelErr, "%v", s.done)
}

// use writes and reads rows of the models that are right.
func (s *sequence) use(ctx context.Context) {
	require.NoError(s.t, s.x.CreateAll(ctx))
	for _, model := range []any{
		new(seqAuthor), new(seqAuthor), &seqBook{AuthorID: 1}, new(seqTag), &seqBookTag{BookID: 1, TagID: 1},
		&seqFriend{AuthorID: 1, FriendID: 2}, &seqReview{AuthorID: 1}, &seqCard{OwnerID: 1, OwnerType: "seq_author"},
	} {
		_, err := s.db.NewInsert().Model(model).Exec(ctx)
		require.NoError(s.t, err)
	}
	author := new(seqAuthor)
	require.NoError(s.t, s.db.NewSelect().Model(author).Where("?TableAlias.id = 1").
		Relation("Books.Tags").Relation("Friends").Relation("Reviews.Author").Relation("Cards").Scan(ctx))
	require.Len(s.t, author.Books[0].Tags, 1)
	require.Len(s.t, author.Friends, 1)
	require.Len(s.t, author.Cards, 1)
	require.EqualValues(s.t, 1, author.Reviews[0].Author.ID)
	require.ErrorContains(s.t, s.db.NewSelect().Model(author).Relation("Hits").Scan(ctx), `does not have relation="Hits"`)
}
