package containerd

// HideRoots makes s read as from a place where the data root of the daemon
// cannot be seen.
func (s *Source) HideRoots() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roots = &roots{}
}
