"""The linear mode: the conversation as plain lines, for screen readers and dumb terminals.

Nothing that was written is ever written over: no cursor movement, no colours, no escape sequences.
The terminal stays in its own line mode, so typing and editing a line is its business.
"""
