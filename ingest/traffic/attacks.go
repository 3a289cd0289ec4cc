package traffic

// stage adds the n-th attack of a scenario.
func (w *world) stage(n int, a Attack) {
	switch a.Name {
	case TokenReuse:
		w.stealToken(n, a)
	case ObjectEnumeration:
		w.enumerate(n, a)
	case VolumeSpike:
		w.flood(n, a)
	case EndpointProbing:
		w.scan(n, a)
	}
}
