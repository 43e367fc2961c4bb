package echobun

func (x *Extension) isolated() bool { return false }
