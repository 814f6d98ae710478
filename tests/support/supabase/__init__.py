"""A stand-in for a Supabase project, for a machine on which none can run.

What is real: the sockets, the official clients on the other side, and PostgreSQL, with the role and
the claims set for each request. So row security, grants, triggers and functions are the database's
own, and whatever they refuse is refused.

What is not: PostgREST, Auth and Realtime are imitated, in the parts that the clients use, from
their documentation and from what a real project was seen to answer. Nothing here tells how fast a
project is, what its gateway, its poolers and its e-mail do, or what another version answers. The
same tests run against a real project (docs/supabase.md); that is what settles a doubt.
"""

from tests.support.supabase.server import Supabase

__all__ = ["Supabase"]
