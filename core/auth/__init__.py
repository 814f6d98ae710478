"""Who somebody is to a Supabase project: signing in, and the session that is kept."""
