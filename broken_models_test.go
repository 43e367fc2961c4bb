package echobun_test

import (
	"github.com/echobun/echobun"
)

// Models that are broken in every way that Bun knows of: each makes it panic
// while it builds its table, or later in the middle of reading rows.
type (
	brokenKeyless struct { // What others refer to in vain.
		Name string
	}
	brokenEmbed struct {
		ID    int64 `bun:",pk"`
		Count int   `bun:"embed:count_"`
	}
	brokenField struct { // By what it contains.
		ID    int64 `bun:",pk"`
		Inner brokenEmbed
	}
	brokenEmbedded struct{ brokenEmbed }
	brokenRelation struct {
		ID    int64     `bun:",pk"`
		Plain *seqPlain `bun:"rel:friend"`
	}
	brokenOwner struct {
		OwnerID int64
		Owner   *brokenTarget `bun:"rel:belongs-to,join:owner_id=id"`
	}
	brokenTarget struct {
		ID int64 `bun:",pk"`
	}
	brokenTwice struct { // One relation twice, by its Go name.
		ID    int64       `bun:",pk"`
		Left  brokenOwner `bun:"embed:left_"`
		Right brokenOwner `bun:"embed:right_"`
	}
	brokenJoin struct {
		ID    int64         `bun:",pk"`
		Owner *brokenTarget `bun:"rel:belongs-to,join:id"`
	}
	brokenBelongsKeyless struct {
		ID    int64          `bun:",pk"`
		Owner *brokenKeyless `bun:"rel:belongs-to,join:id=name"`
	}
	brokenBelongsBase struct {
		ID    int64         `bun:",pk"`
		Owner *brokenTarget `bun:"rel:belongs-to,join:nothing=id"`
	}
	brokenBelongsJoin struct {
		ID    int64         `bun:",pk"`
		Owner *brokenTarget `bun:"rel:belongs-to,join:id=nothing"`
	}
	brokenBelongsDefault struct {
		Key   int64         `bun:",pk"`
		Owner *brokenTarget `bun:"rel:belongs-to"`
	}
	brokenBelongsScalar struct {
		ID    int64 `bun:",pk"`
		Owner int64 `bun:"rel:belongs-to,join:id=id"`
	}
	brokenOnUpdate struct {
		ID    int64         `bun:",pk"`
		Owner *brokenTarget `bun:"rel:belongs-to,join:id=id,on_update:CASCADE,on_update:RESTRICT"`
	}
	brokenOnDelete struct {
		ID    int64         `bun:",pk"`
		Owner *brokenTarget `bun:"rel:belongs-to,join:id=id,on_delete:CASCADE,on_delete:RESTRICT"`
	}
	brokenOneKeyless struct {
		Name string
		One  *brokenTarget `bun:"rel:has-one,join:name=id"`
	}
	brokenOneBase struct {
		ID  int64         `bun:",pk"`
		One *brokenTarget `bun:"rel:has-one,join:nothing=id"`
	}
	brokenOneJoin struct {
		ID  int64         `bun:",pk"`
		One *brokenTarget `bun:"rel:has-one,join:id=nothing"`
	}
	brokenOneDefault struct {
		Key int64         `bun:",pk"`
		One *brokenTarget `bun:"rel:has-one"`
	}
	brokenManyKeyless struct {
		Name string
		Many []*brokenTarget `bun:"rel:has-many,join:name=id"`
	}
	brokenManyOfOne struct {
		ID   int64         `bun:",pk"`
		Many *brokenTarget `bun:"rel:has-many,join:id=id"`
	}
	brokenManyScalars struct {
		ID   int64   `bun:",pk"`
		Many []int64 `bun:"rel:has-many,join:id=id"`
	}
	brokenManyBase struct {
		ID   int64           `bun:",pk"`
		Many []*brokenTarget `bun:"rel:has-many,join:nothing=id"`
	}
	brokenManyJoin struct {
		ID   int64           `bun:",pk"`
		Many []*brokenTarget `bun:"rel:has-many,join:id=nothing"`
	}
	brokenManyDefault struct {
		Key  int64           `bun:",pk"`
		Many []*brokenTarget `bun:"rel:has-many"`
	}
	brokenPolymorphic struct {
		ID   int64           `bun:",pk"`
		Many []*brokenTarget `bun:"rel:has-many,join:id=id,join:type=nothing,polymorphic"`
	}
	brokenManyKeys struct {
		ID   int32           `bun:",pk"`
		Many []*brokenTarget `bun:"rel:has-many,join:id=id"`
	}
	brokenManyBytes struct {
		ID   []byte           `bun:",pk"`
		Many []*brokenByBytes `bun:"rel:has-many,join:id=id"`
	}
	brokenByBytes struct {
		ID []byte `bun:",pk"`
	}
)

// The same of many-to-many relations.
type (
	brokenNowhere struct { // Nobody declares the table between.
		authModel
		ID   int64     `bun:",pk"`
		Tags []*seqTag `bun:"m2m:nowhere,join:Broken=Tag"`
	}
	brokenLeadsThere struct { // By what its relation leads to.
		authModel
		ID       int64 `bun:",pk"`
		BrokenID int64
		Broken   *brokenNowhere `bun:"rel:belongs-to,join:broken_id=id"`
	}
	brokenM2MOfOne struct {
		authModel
		ID   int64   `bun:",pk"`
		Tags *seqTag `bun:"m2m:book_tags,join:Book=Tag"`
	}
	brokenM2MScalars struct {
		authModel
		ID   int64   `bun:",pk"`
		Tags []int64 `bun:"m2m:book_tags,join:Book=Tag"`
	}
	brokenM2MKeyless struct {
		authModel
		Name string
		Tags []*seqTag `bun:"m2m:book_tags,join:Book=Tag"`
	}
	brokenM2MToKeyless struct {
		authModel
		ID   int64            `bun:",pk"`
		Tags []*brokenKeyless `bun:"m2m:book_tags,join:Book=Tag"`
	}
	brokenM2MLeft struct {
		authModel
		ID   int64     `bun:",pk"`
		Tags []*seqTag `bun:"m2m:book_tags,join:Nothing=Tag"`
	}
	brokenM2MRight struct {
		authModel
		ID   int64     `bun:",pk"`
		Tags []*seqTag `bun:"m2m:book_tags,join:Book=Nothing"`
	}
	brokenM2MJoin struct {
		authModel
		ID   int64     `bun:",pk"`
		Tags []*seqTag `bun:"m2m:book_tags,join:Book"`
	}
	brokenM2MKeys struct { // Its key is no int64, as that of seqBookTag is.
		authModel
		ID   int32     `bun:",pk"`
		Tags []*seqTag `bun:"m2m:book_tags,join:Book=Tag"`
	}
	brokenM2MNoColumn struct { // It has not got the column that seqBookTag.Book joins.
		authModel
		Key  int64     `bun:",pk"`
		Tags []*seqTag `bun:"m2m:book_tags,join:Book=Tag"`
	}
)

// And what Bun alone would not mind.
type (
	brokenToAmbiguous struct {
		ID      int64 `bun:",pk"`
		OtherID int64
		Other   *keyAmbiguous `bun:"rel:belongs-to,join:other_id=id"`
	}
	brokenToPanic struct {
		ID      int64 `bun:",pk"`
		OtherID int64
		Other   *keyPanics `bun:"rel:belongs-to,join:other_id=id"`
	}
)

func brokenModels() []any {
	return []any{
		(*brokenEmbed)(nil), (*brokenField)(nil), (*brokenEmbedded)(nil), (*brokenRelation)(nil), (*brokenTwice)(nil), (*brokenJoin)(nil),
		(*brokenBelongsKeyless)(nil), (*brokenBelongsBase)(nil), (*brokenBelongsJoin)(nil), (*brokenBelongsDefault)(nil),
		(*brokenBelongsScalar)(nil), (*brokenOnUpdate)(nil), (*brokenOnDelete)(nil),
		(*brokenOneKeyless)(nil), (*brokenOneBase)(nil), (*brokenOneJoin)(nil), (*brokenOneDefault)(nil),
		(*brokenManyKeyless)(nil), (*brokenManyOfOne)(nil), (*brokenManyScalars)(nil), (*brokenManyBase)(nil), (*brokenManyJoin)(nil),
		(*brokenManyDefault)(nil), (*brokenPolymorphic)(nil), (*brokenManyKeys)(nil), (*brokenManyBytes)(nil),
		(*brokenNowhere)(nil), (*brokenLeadsThere)(nil), (*brokenM2MOfOne)(nil), (*brokenM2MScalars)(nil), (*brokenM2MKeyless)(nil),
		(*brokenM2MToKeyless)(nil), (*brokenM2MLeft)(nil), (*brokenM2MRight)(nil), (*brokenM2MJoin)(nil), (*brokenM2MKeys)(nil),
		(*brokenM2MNoColumn)(nil),
		(*brokenToAmbiguous)(nil), (*brokenToPanic)(nil), (*keyAmbiguous)(nil), (*keyByField)(nil), (*keyPanics)(nil), (*regNowhere)(nil),
		(*echobun.Table)(nil),
	}
}
