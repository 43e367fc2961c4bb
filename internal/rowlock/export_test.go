package rowlock

// Few is few.
const Few = few
