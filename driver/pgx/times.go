package pgx

import (
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// utcTypes read an instant in UTC, as the other databases give it. Pgx reads it
// in the zone of the machine.
var utcTypes = func() []*pgtype.Type {
	instant := &pgtype.Type{Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC}}
	span := &pgtype.Type{Name: "tstzrange", OID: pgtype.TstzrangeOID, Codec: &pgtype.RangeCodec{ElementType: instant}}
	spans := &pgtype.Type{Name: "tstzmultirange", OID: pgtype.TstzmultirangeOID, Codec: &pgtype.MultirangeCodec{ElementType: span}}
	return []*pgtype.Type{
		instant,
		{Name: "_timestamptz", OID: pgtype.TimestamptzArrayOID, Codec: &pgtype.ArrayCodec{ElementType: instant}},
		span,
		{Name: "_tstzrange", OID: pgtype.TstzrangeArrayOID, Codec: &pgtype.ArrayCodec{ElementType: span}},
		spans,
		{Name: "_tstzmultirange", OID: pgtype.TstzmultirangeArrayOID, Codec: &pgtype.ArrayCodec{ElementType: spans}},
	}
}()

// readInUTC has the types of a connection read times in UTC.
func readInUTC(types *pgtype.Map) {
	for _, t := range utcTypes {
		types.RegisterType(t)
	}
}
