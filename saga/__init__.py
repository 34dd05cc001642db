"""Write business transactions that span several services as typed classes."""
