"""Tables and matrices that users hand over: text first, lengths and names checked, nothing left to a parser's guess."""
