"""stub"""
def confusion_table(confusion, labels): return "<svg/>"
def confusion_text(confusion, labels): return ""
