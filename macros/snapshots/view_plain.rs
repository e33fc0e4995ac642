#[view(event = CourseEvent)]
pub struct FreeSeats(u32);

// Derived:

#[automatically_derived]
#[allow(deprecated)]
impl ::factum::View for FreeSeats {
    type Event = CourseEvent;
}
