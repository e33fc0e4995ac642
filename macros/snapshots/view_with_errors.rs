#[view(events = CourseEvent)]
pub struct FreeSeats(u32);

// Derived:

::core::compile_error! {
    "unknown key `events`: did you mean `event`?"
}
